/* SPDX-License-Identifier: MIT */
/* lib/elf: what is refused and how it is said, and that nothing outside the file is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <lfi/lfi_core.h>

#include "elf/make_elf.h"
#include "elfview.h"

/* One damage to a sound file, and the sentence that must come out. */
struct Row {
	const char *name;
	void (*damage)(struct TestElf *elf);
	const char *message;
};

#define DAMAGE(name, what)                    \
	static void name(struct TestElf *elf) \
	{                                     \
		what;                         \
	}

DAMAGE(bad_magic, elf->bytes[0] = 'M')
DAMAGE(bad_class, elf->bytes[EI_CLASS] = ELFCLASS32)
DAMAGE(bad_endian, elf->bytes[EI_DATA] = ELFDATA2MSB)
DAMAGE(bad_version, elf->bytes[EI_VERSION] = 9)
DAMAGE(bad_machine, elf->header.e_machine = EM_AARCH64)
DAMAGE(type_exec, elf->header.e_type = ET_EXEC)
DAMAGE(type_object, elf->header.e_type = ET_REL)
DAMAGE(type_core, elf->header.e_type = ET_CORE)
DAMAGE(no_headers, elf->header.e_phnum = 0)
DAMAGE(many_headers, elf->header.e_phnum = 0xffff)
DAMAGE(header_size, elf->header.e_phentsize = 32)
DAMAGE(headers_outside, elf->header.e_phoff = TEST_ELF_SIZE - 100)
DAMAGE(headers_overflow, elf->header.e_phoff = UINT64_MAX - 16)
DAMAGE(sections_outside, elf->header.e_shoff = TEST_ELF_SIZE - 1)
DAMAGE(section_size, elf->header.e_shentsize = 8)
DAMAGE(offset_outside, elf->segments[2].p_offset = 0x3000)
DAMAGE(offset_overflow, elf->segments[2].p_offset = UINT64_MAX - 0xfff)
DAMAGE(filesz_huge, elf->segments[2].p_filesz = elf->segments[2].p_memsz = (uint64_t) 1 << 63)
DAMAGE(memsz_small, elf->segments[2].p_memsz = 8)
DAMAGE(memsz_overflow, elf->segments[2].p_memsz = UINT64_MAX)
DAMAGE(bad_align, elf->segments[1].p_align = 0x1800)
DAMAGE(unaligned, elf->segments[1].p_vaddr += 8)
DAMAGE(write_exec, elf->segments[2].p_flags |= PF_X)
DAMAGE(overlap, elf->segments[2].p_vaddr = 0x1000)
DAMAGE(out_of_order, elf->segments[2].p_vaddr = 0)
DAMAGE(interpreter, elf->segments[3].p_type = PT_INTERP; strcpy((char *) elf->bytes + 0x300, "/lib/ld.so"))
DAMAGE(note_outside, elf->segments[3].p_filesz = TEST_ELF_SIZE)
DAMAGE(no_load, for (int i = 0; i < 3; i++) elf->segments[i].p_type = PT_NULL)

static const struct Row rows[] = {
    {"magic", bad_magic, "not an ELF file: it starts with the bytes 4d 45 4c 46"},
    {"class", bad_class, "not a 64-bit ELF file: class 1, expected 2"},
    {"endian", bad_endian, "not a little-endian ELF file: data encoding 2, expected 1"},
    {"version", bad_version, "ELF version 9 is unknown, expected 1"},
    {"machine", bad_machine, "the program is for machine 183 (AArch64), not for 62 (x86-64)"},
    {"exec", type_exec, "the program is linked to a fixed address (ET_EXEC): link it with -static-pie"},
    {"object", type_object, "this is an object file (ET_REL), not a program: link it first"},
    {"core", type_core, "ELF type 4 is not a program (expected 3, ET_DYN)"},
    {"no headers", no_headers, "the file has no program headers"},
    {"many headers", many_headers, "65535 program headers are more than the 128 allowed"},
    {"header size", header_size, "program headers of 32 bytes, expected 56"},
    {"headers outside", headers_outside,
	"program headers (5 entries of 56 bytes at file offset 0x259c) lie past the end of the file (9728 bytes)"},
    {"headers overflow", headers_overflow,
	"program headers (5 entries of 56 bytes at file offset 0xffffffffffffffef) lie past the end of the file (9728 "
	"bytes)"},
    {"sections outside", sections_outside,
	"section headers (5 entries of 64 bytes at file offset 0x25ff) lie past the end of the file (9728 bytes)"},
    {"section size", section_size, "section headers of 8 bytes, expected 64"},
    {"offset outside", offset_outside,
	"segment 2: file offset 0x3000 + size 0x10 lies past the end of the file (9728 bytes)"},
    {"offset overflow", offset_overflow,
	"segment 2: file offset 0xfffffffffffff000 + size 0x10 lies past the end of the file (9728 bytes)"},
    {"2^63", filesz_huge,
	"segment 2: file offset 0x2000 + size 0x8000000000000000 lies past the end of the file (9728 bytes)"},
    {"memsz small", memsz_small, "segment 2: 0x10 bytes in the file do not fit its 0x8 bytes of memory"},
    {"memsz overflow", memsz_overflow, "segment 2: address 0x2000 + size 0xffffffffffffffff overflows"},
    {"alignment", bad_align, "segment 1: alignment 0x1800 is not a power of two"},
    {"unaligned", unaligned, "segment 1: address 0x1008 and file offset 0x1000 differ modulo the alignment 0x1000"},
    {"write and execute", write_exec, "segment 2 at 0x2000 is both writable and executable"},
    {"overlap", overlap, "segment 2 at 0x1000 overlaps the one before it, which ends at 0x1015, or comes out of order"},
    {"order", out_of_order, "segment 2 at 0x0 overlaps the one before it, which ends at 0x1015, or comes out of order"},
    {"interpreter", interpreter, "segment 3: the program needs the dynamic linker /lib/ld.so"},
    {"note outside", note_outside,
	"segment 3: file offset 0x300 + size 0x2600 lies past the end of the file (9728 bytes)"},
    {"no load", no_load, "the file has no segment to load (PT_LOAD)"},
};

static void
each_damage_is_refused_with_what_and_where(void **state)
{
	struct TestElf elf;
	struct ElfView view;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		test_elf_make(&elf);
		rows[i].damage(&elf);
		if (elfview_open(&view, elf.bytes, sizeof elf.bytes, EM_X86_64) == 0)
			fail_msg("%s: was accepted", rows[i].name);
		assert_int_equal(lfi_errno(), LFI_ERR_ELF);
		if (strncmp(lfi_errmsg(), rows[i].message, strlen(rows[i].message)) != 0)
			fail_msg("%s: '%s' instead of '%s'", rows[i].name, lfi_errmsg(), rows[i].message);
	}
}

static void
a_sound_file_is_accepted_and_shows_its_segments(void **state)
{
	struct TestElf elf;
	struct ElfView view;
	struct ElfSegment segment;

	test_elf_make(&elf);
	assert_int_equal(elfview_open(&view, elf.bytes, sizeof elf.bytes, EM_X86_64), 0);
	assert_int_equal(view.entry, TEST_CODE);
	assert_int_equal(view.phnum, 5);
	segment = elfview_segment(&view, 2);
	assert_int_equal(segment.vaddr, TEST_DATA);
	assert_int_equal(segment.filesz, 0x10);
	assert_int_equal(segment.memsz, 0x2010);
}

static void
symbols_are_found_by_name_and_only_where_they_are_addresses(void **state)
{
	struct TestElf elf;
	struct ElfView view;
	struct ElfSymtab symtab, dynsym;
	struct ElfSymbol symbol;

	test_elf_make(&elf);
	assert_int_equal(elfview_open(&view, elf.bytes, sizeof elf.bytes, EM_X86_64), 0);
	assert_true(elfview_symtab(&view, SHT_SYMTAB, &symtab));
	assert_true(elfview_symtab(&view, SHT_DYNSYM, &dynsym));
	assert_true(elfview_find(&symtab, "counter", &symbol));
	assert_int_equal(symbol.value, TEST_DATA);
	assert_true(elfview_find(&dynsym, "exported", &symbol));
	assert_int_equal(symbol.value, TEST_CODE + 16);
	assert_false(elfview_find(&symtab, "exported", &symbol));
	assert_false(elfview_find(&symtab, "undefined", &symbol));
	assert_false(elfview_find(&symtab, "thread_local", &symbol));
}

/* Damage that leaves a loadable program without that symbol table. */
DAMAGE(symbols_outside, test_elf_sections(elf)[1].sh_offset = TEST_ELF_SIZE)
DAMAGE(symbols_overflow, test_elf_sections(elf)[1].sh_size = UINT64_MAX - 0x2000)
DAMAGE(symbols_entry, test_elf_sections(elf)[1].sh_entsize = 1)
DAMAGE(strings_missing, test_elf_sections(elf)[1].sh_link = 77)
DAMAGE(strings_type, test_elf_sections(elf)[2].sh_type = SHT_NOTE)
DAMAGE(strings_outside, test_elf_sections(elf)[2].sh_size = TEST_ELF_SIZE)
DAMAGE(strings_empty, test_elf_sections(elf)[2].sh_size = 0)
DAMAGE(strings_unended, test_elf_sections(elf)[2].sh_size -= 1;
       elf->bytes[0x2200 + test_elf_sections(elf)[2].sh_size - 1] = 'x')

static void
an_unsound_symbol_table_is_no_symbol_table(void **state)
{
	static void (*const damages[])(struct TestElf *) = {symbols_outside, symbols_overflow, symbols_entry,
	    strings_missing, strings_type, strings_outside, strings_empty, strings_unended};
	struct TestElf elf;
	struct ElfView view;
	struct ElfSymtab table;

	for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
		test_elf_make(&elf);
		damages[i](&elf);
		assert_int_equal(elfview_open(&view, elf.bytes, sizeof elf.bytes, EM_X86_64), 0);
		if (elfview_symtab(&view, SHT_SYMTAB, &table))
			fail_msg("damage %zu: was taken", i);
		assert_int_equal(table.count, 0);
	}
}

static void
a_symbol_name_outside_the_strings_is_empty(void **state)
{
	struct TestElf elf;
	struct ElfView view;
	struct ElfSymtab table;

	test_elf_make(&elf);
	test_elf_symbol(&elf, 0x2100 + 24, 0xffffffff, TEST_CODE, STT_FUNC, 1);
	assert_int_equal(elfview_open(&view, elf.bytes, sizeof elf.bytes, EM_X86_64), 0);
	assert_true(elfview_symtab(&view, SHT_SYMTAB, &table));
	assert_string_equal(elfview_symbol(&table, 1).name, "");
}

static void
a_note_is_found_by_owner_and_type(void **state)
{
	struct TestElf elf;
	struct ElfView view;
	size_t size = 0;
	const void *note;

	test_elf_make(&elf);
	elf.bytes[0x304] = 4;
	assert_int_equal(elfview_open(&view, elf.bytes, sizeof elf.bytes, EM_X86_64), 0);
	note = elfview_note(&view, "LFI", 7, &size);
	assert_non_null(note);
	assert_int_equal(size, 4);
	assert_memory_equal(note, "abc", 4);
	assert_null(elfview_note(&view, "LFI", 8, &size));
	assert_null(elfview_note(&view, "GNU", 7, &size));
	elf.bytes[0x304] = 0xff;
	assert_null(elfview_note(&view, "LFI", 7, &size));
}

/* Everything that reads, on whatever was opened. */
static void
read_all(const struct ElfView *view)
{
	struct ElfSymtab table;
	struct ElfSymbol symbol;
	size_t size;

	for (unsigned i = 0; i < view->phnum; i++)
		elfview_segment(view, i);
	if (elfview_symtab(view, SHT_SYMTAB, &table))
		elfview_find(&table, "no such symbol", &symbol);
	if (elfview_symtab(view, SHT_DYNSYM, &table))
		elfview_find(&table, "no such symbol", &symbol);
	elfview_note(view, "LFI", 99, &size);
}

/* The file so that its last byte is the last that can be read. */
static unsigned char *
before_guard(const struct TestElf *elf, size_t size)
{
	static unsigned char *pages;

	if (!pages) {
		pages = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(pages != MAP_FAILED);
		assert_int_equal(mprotect(pages + 0x3000, 0x1000, PROT_NONE), 0);
	}
	memcpy(pages + 0x3000 - size, elf->bytes, size);
	return pages + 0x3000 - size;
}

static void
nothing_past_the_end_of_a_truncated_file_is_read(void **state)
{
	struct TestElf elf;
	struct ElfView view;

	test_elf_make(&elf);
	for (size_t size = 0; size <= sizeof elf.bytes; size++) {
		if (elfview_open(&view, before_guard(&elf, size), size, EM_X86_64) == 0)
			read_all(&view);
		else
			assert_int_equal(lfi_errno(), LFI_ERR_ELF);
	}
}

static void
nothing_past_the_end_of_a_damaged_file_is_read(void **state)
{
	static const unsigned interesting[] = {0x300, 0x2100, 0x2200, 0x2400};
	struct TestElf sound, elf;
	struct ElfView view;
	uint32_t random = 1;

	test_elf_make(&sound);
	for (int round = 0; round < 200000; round++) {
		elf = sound;
		for (int i = 0; i < 3; i++) {
			random = random * 1664525 + 1013904223;
			elf.bytes[(random >> 30 ? interesting[random >> 30] : 0) + (random >> 8) % 0x158] =
			    (unsigned char) (random >> 20);
		}
		/* Most damage to the first bytes ends the story: leave it to the rows. */
		memcpy(elf.bytes, sound.bytes, 24);
		if (elfview_open(&view, before_guard(&elf, sizeof elf.bytes), sizeof elf.bytes, EM_X86_64) == 0)
			read_all(&view);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_damage_is_refused_with_what_and_where),
	    cmocka_unit_test(a_sound_file_is_accepted_and_shows_its_segments),
	    cmocka_unit_test(symbols_are_found_by_name_and_only_where_they_are_addresses),
	    cmocka_unit_test(an_unsound_symbol_table_is_no_symbol_table),
	    cmocka_unit_test(a_symbol_name_outside_the_strings_is_empty),
	    cmocka_unit_test(a_note_is_found_by_owner_and_type),
	    cmocka_unit_test(nothing_past_the_end_of_a_truncated_file_is_read),
	    cmocka_unit_test(nothing_past_the_end_of_a_damaged_file_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
