"""What a forgetting service keeps on disk: versions of a model with their data, and what tells who
must not come back.

``version`` is one of them, whole in a folder named by its digest; ``tombstones`` knows erased
interactions when they return; ``roots`` says in 32 bytes which data a version stands for;
``folders`` is where all of it lies.
"""
