/* SPDX-License-Identifier: MIT */
typedef int module_verify_has_no_code_yet;
