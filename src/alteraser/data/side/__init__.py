"""What is known beside the interactions: features of users and items, contexts, further relations.

    attributes   a table of what is known of entities: categories, lists of them, numbers
    contexts     what was so when something happened: weekday, time of day, device, place
    links        rows of one relation: (head, tail), each once
    relations    files of two id columns, or of heads, relations and tails
    given        all of it together, and what is left of it without something

Ids are converted once, here; from then on there are rows.
"""
