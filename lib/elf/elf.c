/* SPDX-License-Identifier: MIT */
typedef int module_elf_has_no_code_yet;
