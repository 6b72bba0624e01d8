"""The experiments of Liu et al. (RecSys 2022), rerun: scenes, methods, cells, tables."""
