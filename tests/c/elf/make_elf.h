/* SPDX-License-Identifier: MIT */
/*
 * A small sound program for tests to damage: three segments, a symbol table,
 * a dynamic symbol table, a note. Its code makes system call 231
 * (exit_group) with 7.
 */
#ifndef TEST_MAKE_ELF_H
#define TEST_MAKE_ELF_H

#include <elf.h>
#include <string.h>

enum {
	TEST_ELF_SIZE = 0x2600,
	TEST_CODE = 0x1000,
	TEST_DATA = 0x2000,
	TEST_BSS = 0x2010,
};

struct TestElf {
	union {
		Elf64_Ehdr header;
		unsigned char bytes[TEST_ELF_SIZE];
		struct {
			Elf64_Ehdr header_too;
			Elf64_Phdr segments[5]; /* R, RX, RW, NOTE, GNU_STACK */
		};
	};
};

static inline Elf64_Shdr *
test_elf_sections(struct TestElf *elf)
{
	return (Elf64_Shdr *) (elf->bytes + 0x2400);
}

static inline void
test_elf_symbol(struct TestElf *elf, size_t at, unsigned name, uint64_t value, unsigned type, unsigned section)
{
	Elf64_Sym symbol = {.st_name = name,
	    .st_value = value,
	    .st_size = 21,
	    .st_info = (unsigned char) type,
	    .st_shndx = (Elf64_Half) section};

	memcpy(elf->bytes + at, &symbol, sizeof symbol);
}

static inline void
test_elf_make(struct TestElf *elf)
{
	static const unsigned char code[] = {
	    0xb8, 231, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x4c, 0x8d, 0x1d, 4, 0, 0, 0, 0x41, 0xff, 0x66, 0xf8};
	static const char strings[] = "\0_start\0counter\0undefined\0thread_local\0exported";
	static const char note[] = "\4\0\0\0\3\0\0\0\7\0\0\0LFI\0abc";
	Elf64_Shdr *sections = test_elf_sections(elf);

	memset(elf, 0, sizeof *elf);
	elf->header = (Elf64_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
	    .e_type = ET_DYN,
	    .e_machine = EM_X86_64,
	    .e_version = EV_CURRENT,
	    .e_entry = TEST_CODE,
	    .e_phoff = sizeof(Elf64_Ehdr),
	    .e_shoff = 0x2400,
	    .e_ehsize = sizeof(Elf64_Ehdr),
	    .e_phentsize = sizeof(Elf64_Phdr),
	    .e_phnum = 5,
	    .e_shentsize = sizeof(Elf64_Shdr),
	    .e_shnum = 5};
	elf->segments[0] = (Elf64_Phdr){PT_LOAD, PF_R, 0, 0, 0, 0x400, 0x400, 0x1000};
	elf->segments[1] =
	    (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0x1000, TEST_CODE, TEST_CODE, sizeof code, sizeof code, 0x1000};
	elf->segments[2] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W, 0x2000, TEST_DATA, TEST_DATA, 0x10, 0x2010, 0x1000};
	elf->segments[3] = (Elf64_Phdr){PT_NOTE, PF_R, 0x300, 0x300, 0x300, 20, 20, 4};
	elf->segments[4] = (Elf64_Phdr){PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
	memcpy(elf->bytes + 0x300, note, sizeof note);
	memcpy(elf->bytes + 0x1000, code, sizeof code);
	memcpy(elf->bytes + 0x2000, "initialised data", 16);
	test_elf_symbol(elf, 0x2100 + 24, 1, TEST_CODE, STT_FUNC, 1);
	test_elf_symbol(elf, 0x2100 + 48, 8, TEST_DATA, STT_OBJECT, 1);
	test_elf_symbol(elf, 0x2100 + 72, 16, 0x1234, STT_FUNC, SHN_UNDEF);
	test_elf_symbol(elf, 0x2100 + 96, 26, 0x10, STT_TLS, 1);
	memcpy(elf->bytes + 0x2200, strings, sizeof strings);
	test_elf_symbol(elf, 0x2300 + 24, 39, TEST_CODE + 16, STT_FUNC, 1);
	sections[1] =
	    (Elf64_Shdr){.sh_type = SHT_SYMTAB, .sh_offset = 0x2100, .sh_size = 120, .sh_link = 2, .sh_entsize = 24};
	sections[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = 0x2200, .sh_size = sizeof strings};
	sections[3] =
	    (Elf64_Shdr){.sh_type = SHT_DYNSYM, .sh_offset = 0x2300, .sh_size = 48, .sh_link = 2, .sh_entsize = 24};
}

#endif
