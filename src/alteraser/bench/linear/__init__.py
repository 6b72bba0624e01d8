"""What linear models cost and give, case by case: ``alteraser bench linear``."""
