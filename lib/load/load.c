/* SPDX-License-Identifier: MIT */
typedef int module_load_has_no_code_yet;
