"""The model says what went wrong as tests do."""

import pytest

pytest.register_assert_rewrite("helpers.ringmodel")
