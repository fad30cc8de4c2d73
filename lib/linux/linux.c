/* SPDX-License-Identifier: MIT */
typedef int module_linux_has_no_code_yet;
