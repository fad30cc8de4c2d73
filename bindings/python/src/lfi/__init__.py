# SPDX-License-Identifier: MIT
from . import _errors as _errors
