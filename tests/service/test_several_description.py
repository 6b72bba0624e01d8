"""The same of models of several sources: whatever follows from the published description, or nearly
does, is answered, never by 500."""

from __future__ import annotations

from .test_description import test_no_call_is_a_fault_of_ours  # noqa: F401
from .test_several_doors import site, world  # noqa: F401
