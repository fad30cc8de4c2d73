/* SPDX-License-Identifier: MIT */
typedef int module_rewrite_has_no_code_yet;
