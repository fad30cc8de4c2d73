/* SPDX-License-Identifier: MIT */
typedef int module_core_has_no_code_yet;
