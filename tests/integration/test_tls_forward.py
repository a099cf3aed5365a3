# SPDX-License-Identifier: Apache-2.0
"""Everything that test_forward.py says of plain connections, said of secured ones on both sides."""
import pytest
from test_forward import *  # noqa: F401,F403  pylint: disable=wildcard-import,unused-wildcard-import

pytestmark = pytest.mark.usefixtures("over_tls")

# What TLS changes: X-Forwarded-Proto (test_tls.py has it), and that a connection which just ends is no end (test_tls_upstream.py).
del test_added_request_fields, test_response_that_ends_with_its_connection  # noqa: F821  pylint: disable=undefined-variable
