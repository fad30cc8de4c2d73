/* SPDX-License-Identifier: MIT */
/* lib/load: where a program lands, what is refused with nothing left mapped, and what a stack starts with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include <cmocka.h>
#include <lfi/lfi_core.h>

#include "core.h"
#include "elf/make_elf.h"
#include "elfview.h"
#include "load.h"

struct Fixture {
	struct LFIEngine *engine;
	struct LFIBox *box;
	struct LFIBoxInfo info;
};

/*
 * Runs one test with a fresh box. Not a cmocka fixture: cmocka takes the fault handlers over after those, and the
 * library's must come last.
 */
static void
in_box(void **state)
{
	void (*const *test)(struct Fixture *) = *state;
	struct Fixture f;

	f.engine = lfi_new((struct LFIOptions){0}, 1);
	assert_non_null(f.engine);
	f.box = lfi_box_new(f.engine);
	assert_non_null(f.box);
	f.info = lfi_box_info(f.box);
	(*test)(&f);
	lfi_box_free(f.box);
	lfi_free(f.engine);
}

static bool
something_is_mapped(struct Fixture *f)
{
	struct BoxMapping mapping;

	return box_mapping(f->box, f->info.min, &mapping);
}

/* ---- Programs ---- */

static int
load(struct Fixture *f, const struct TestElf *elf, struct LoadImage *image)
{
	struct LoadSymbols *symbols = NULL;
	int result = load_program(f->box, elf->bytes, sizeof elf->bytes, image, &symbols);

	if (result == 0) {
		assert_int_equal(load_symbol(symbols, "_start"), TEST_CODE);
		assert_int_equal(load_symbol(symbols, "exported"), TEST_CODE + 16);
		assert_int_equal(load_symbol(symbols, "nothing"), 0);
	}
	load_symbols_free(symbols);
	return result;
}

static int
prot_at(struct Fixture *f, lfiptr addr)
{
	struct BoxMapping mapping;

	if (!box_mapping(f->box, addr, &mapping) || mapping.addr > addr)
		return -1;
	return mapping.prot;
}

static void
a_program_is_mapped_with_its_protections_and_contents(struct Fixture *f)
{
	struct LoadImage image;
	struct TestElf elf;
	unsigned char page[4096];

	test_elf_make(&elf);
	assert_int_equal(load(f, &elf, &image), 0);
	assert_true(image.start >= f->info.base + 256 * 1024);
	assert_int_equal(image.start % 4096, 0);
	assert_int_equal(image.end, image.bias + 0x5000);
	assert_int_equal(image.entry, image.bias + TEST_CODE);
	assert_int_equal(image.phdr, image.bias + 64);
	assert_int_equal(image.phnum, 5);
	assert_int_equal(prot_at(f, image.bias), LFI_PROT_READ);
	assert_int_equal(prot_at(f, image.bias + TEST_CODE), LFI_PROT_READ | LFI_PROT_EXEC);
	assert_int_equal(prot_at(f, image.bias + TEST_DATA), LFI_PROT_READ | LFI_PROT_WRITE);
	assert_int_equal(prot_at(f, image.bias + 0x4000), LFI_PROT_READ | LFI_PROT_WRITE);
	assert_int_equal(prot_at(f, image.bias + 0x5000), -1);
	assert_int_equal(lfi_box_copyfm(f->box, page, image.bias + TEST_DATA, sizeof page), 0);
	assert_memory_equal(page, "initialised data", 16);
	for (size_t i = 16; i < sizeof page; i++)
		assert_int_equal(page[i], 0);
}

static void
what_the_file_leaves_of_code_pages_is_traps(struct Fixture *f)
{
	struct LoadImage image;
	struct TestElf elf;
	unsigned char page[4096];

	test_elf_make(&elf);
	elf.segments[1].p_offset += 32;
	elf.segments[1].p_vaddr += 32;
	elf.header.e_entry += 32;
	memmove(elf.bytes + 0x1020, elf.bytes + 0x1000, 21);
	memset(elf.bytes + 0x1000, 0, 32);
	test_elf_symbol(&elf, 0x2100 + 24, 1, TEST_CODE, STT_FUNC, 1);
	assert_int_equal(load(f, &elf, &image), 0);
	assert_int_equal(lfi_box_copyfm(f->box, page, image.bias + TEST_CODE, sizeof page), 0);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(page[i], 0xcc);
	assert_int_equal(page[32], 0xb8);
	for (size_t i = 32 + 21; i < sizeof page; i++)
		assert_int_equal(page[i], 0xcc);
}

static void
an_alignment_larger_than_a_page_is_kept(struct Fixture *f)
{
	struct LoadImage image;
	struct TestElf elf;

	test_elf_make(&elf);
	for (int i = 0; i < 3; i++)
		elf.segments[i].p_align = 0x200000;
	assert_int_equal(load(f, &elf, &image), 0);
	assert_int_equal(image.bias % 0x200000, 0);
}

struct Row {
	const char *name;
	void (*damage)(struct TestElf *elf);
	int code;
	const char *message;
};

#define DAMAGE(name, what)                    \
	static void name(struct TestElf *elf) \
	{                                     \
		what;                         \
	}

DAMAGE(bad_ident, elf->bytes[0] = 0)
DAMAGE(shared_page, elf->segments[2].p_vaddr = 0x1800; elf->segments[2].p_offset = 0x1800; elf->segments[2].p_align = 8)
DAMAGE(far_away, elf->segments[2].p_vaddr += (uint64_t) 1 << 32)
DAMAGE(whole_sandbox, elf->segments[2].p_memsz = ((uint64_t) 1 << 32) - 0x10000)
DAMAGE(wraps_when_rounded, elf->segments[2].p_vaddr = UINT64_MAX - 0xfff; elf->segments[2].p_memsz = 0xfff)
DAMAGE(huge_alignment, for (int i = 0; i < 3; i++) elf->segments[i].p_align = 1;
       elf->segments[0].p_align = (uint64_t) 1 << 63)
DAMAGE(all_empty, for (int i = 0; i < 3; i++) elf->segments[i].p_memsz = elf->segments[i].p_filesz = 0)
DAMAGE(entry_in_data, elf->header.e_entry = TEST_DATA)
DAMAGE(entry_in_filler, elf->header.e_entry = TEST_CODE + 32)
DAMAGE(entry_nowhere, elf->header.e_entry = UINT64_MAX - 15)
DAMAGE(entry_unaligned, elf->header.e_entry = TEST_CODE + 5)
DAMAGE(raw_syscall, memcpy(elf->bytes + 0x1000, "\x0f\x05", 2))

static const struct Row rows[] = {
    {"not ELF", bad_ident, LFI_ERR_ELF, "not an ELF file"},
    {"shared page", shared_page, LFI_ERR_ELF, "segment 2 at 0x1800 shares page 0x1000 with the one before it"},
    {"far away", far_away, LFI_ERR_ELF,
	"the program's 0x100005000 bytes of address space (0x0 to 0x100005000, aligned to 0x1000) do not fit the "
	"sandbox"},
    {"whole sandbox", whole_sandbox, LFI_ERR_ELF, "the program's 0xffff2000 bytes of address space"},
    {"wraps", wraps_when_rounded, LFI_ERR_ELF, "segment 2: address 0xfffffffffffff000 + size 0xfff lies past the end"},
    {"alignment", huge_alignment, LFI_ERR_ELF, "the program's 0x5000 bytes of address space"},
    {"empty", all_empty, LFI_ERR_ELF, "all segments to load are empty"},
    {"entry in data", entry_in_data, LFI_ERR_ELF, "the entry point 0x2000 lies in no executable segment"},
    {"entry in filler", entry_in_filler, LFI_ERR_ELF, "the entry point 0x1020 lies in no executable segment"},
    {"entry nowhere", entry_nowhere, LFI_ERR_ELF, "the entry point 0xfffffffffffffff0 lies in no executable segment"},
    {"entry unaligned", entry_unaligned, LFI_ERR_ELF, "the entry point 0x1005 is not aligned to a bundle"},
    {"raw syscall", raw_syscall, LFI_ERR_VERIFY, "segment 1: verification failed at 0x1000"},
};

static void
code_that_does_not_verify_is_named(struct Fixture *f)
{
	struct LoadImage image;
	struct TestElf elf;

	test_elf_make(&elf);
	memcpy(elf.bytes + 0x100a, "\x0f\x05", 2);
	assert_int_equal(load(f, &elf, &image), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_VERIFY);
	assert_non_null(strstr(lfi_errmsg(), "failed at 0x100a"));
	assert_non_null(strstr(lfi_errmsg(), " (in _start+0xa)"));
}

static void
each_damage_is_refused_and_leaves_nothing_mapped(struct Fixture *f)
{
	struct LoadImage image;
	struct TestElf elf;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		test_elf_make(&elf);
		rows[i].damage(&elf);
		if (load(f, &elf, &image) == 0)
			fail_msg("%s: was accepted", rows[i].name);
		if (lfi_errno() != rows[i].code || strncmp(lfi_errmsg(), rows[i].message, strlen(rows[i].message)) != 0)
			fail_msg("%s: %s '%s' instead of '%s'", rows[i].name, lfi_error_name(lfi_errno()), lfi_errmsg(),
			    rows[i].message);
		if (something_is_mapped(f))
			fail_msg("%s: something stays mapped", rows[i].name);
	}
	/* The box is as good as new. */
	test_elf_make(&elf);
	assert_int_equal(load(f, &elf, &image), 0);
}

/* ---- Stacks ---- */

static uint64_t
word(struct Fixture *f, lfiptr addr)
{
	uint64_t value = 0;

	assert_int_equal(lfi_box_copyfm(f->box, &value, addr, sizeof value), 0);
	return value;
}

static void
assert_string_at(struct Fixture *f, lfiptr addr, const char *expected)
{
	char text[64];

	assert_int_equal(lfi_box_copystr(f->box, text, addr, sizeof text), strlen(expected));
	assert_string_equal(text, expected);
}

/* The value of an entry of the auxiliary vector at `at`. */
static uint64_t
aux(struct Fixture *f, lfiptr at, uint64_t type)
{
	for (; word(f, at) != AT_NULL; at += 16)
		if (word(f, at) == type)
			return word(f, at + 8);
	fail_msg("no entry %lu in the auxiliary vector", (unsigned long) type);
	return 0;
}

static bool
has_aux(struct Fixture *f, lfiptr at, uint64_t type)
{
	while (word(f, at) != AT_NULL && word(f, at) != type)
		at += 16;
	return word(f, at) != AT_NULL;
}

static void
a_stack_starts_with_arguments_environment_and_auxiliary_vector(struct Fixture *f)
{
	const char *argv[] = {"prog", "", "three words here"}, *envp[] = {"A=1", "LONG=value", NULL};
	struct LoadImage image;
	struct LoadStack stack;
	struct TestElf elf;
	lfiptr sp, auxv;

	test_elf_make(&elf);
	assert_int_equal(load(f, &elf, &image), 0);
	assert_int_equal(load_stack_map(f->box, 65536, &stack), 0);
	assert_int_equal(load_stack_fill(f->box, &image, &(struct LoadArgs){3, argv, envp, "/box/prog"}, &stack), 0);
	sp = stack.sp;
	assert_int_equal(sp % 16, 0);
	assert_true(sp > stack.start && sp < stack.start + stack.size);
	assert_int_equal(word(f, sp), 3);
	for (int i = 0; i < 3; i++)
		assert_string_at(f, word(f, sp + 8 + 8 * (lfiptr) i), argv[i]);
	assert_int_equal(word(f, sp + 32), 0);
	assert_string_at(f, word(f, sp + 40), "A=1");
	assert_string_at(f, word(f, sp + 48), "LONG=value");
	assert_int_equal(word(f, sp + 56), 0);
	auxv = sp + 64;
	assert_int_equal(aux(f, auxv, AT_PHDR), image.phdr);
	assert_int_equal(aux(f, auxv, AT_PHENT), 56);
	assert_int_equal(aux(f, auxv, AT_PHNUM), 5);
	assert_int_equal(aux(f, auxv, AT_PAGESZ), 4096);
	assert_int_equal(aux(f, auxv, AT_BASE), 0);
	assert_int_equal(aux(f, auxv, AT_ENTRY), image.entry);
	assert_int_equal(aux(f, auxv, AT_SECURE), 0);
	assert_int_equal(aux(f, auxv, AT_UID), aux(f, auxv, AT_EUID));
	assert_int_equal(aux(f, auxv, AT_CLKTCK), 100);
	assert_string_at(f, aux(f, auxv, AT_EXECFN), "/box/prog");
	assert_true(aux(f, auxv, AT_RANDOM) > sp);
	assert_false(has_aux(f, auxv, AT_SYSINFO_EHDR));
}

static void
the_stack_pointer_is_aligned_whatever_the_strings_take(struct Fixture *f)
{
	const char *text = "................", *argv[1];
	struct LoadImage image = {0};
	struct LoadStack stack;

	assert_int_equal(load_stack_map(f->box, 65536, &stack), 0);
	for (int i = 0; i <= 16; i++) {
		argv[0] = text + i;
		assert_int_equal(load_stack_fill(f->box, &image, &(struct LoadArgs){1, argv, NULL, ""}, &stack), 0);
		assert_int_equal(stack.sp % 16, 0);
		assert_string_at(f, word(f, stack.sp + 8), argv[0]);
	}
}

static void
two_stacks_have_different_random_bytes(struct Fixture *f)
{
	struct LoadImage image = {0};
	uint64_t random[2];

	for (int i = 0; i < 2; i++) {
		struct LoadStack stack;

		assert_int_equal(load_stack_map(f->box, 65536, &stack), 0);
		assert_int_equal(load_stack_fill(f->box, &image, &(struct LoadArgs){0, NULL, NULL, ""}, &stack), 0);
		random[i] = word(f, aux(f, stack.sp + 24, AT_RANDOM));
	}
	assert_true(random[0] != random[1]);
}

static void
a_guard_that_cannot_be_touched_lies_below_a_stack(struct Fixture *f)
{
	struct LoadStack stack;
	char byte = 0;

	assert_int_equal(load_stack_map(f->box, 65536, &stack), 0);
	assert_int_equal(prot_at(f, stack.start), LFI_PROT_NONE);
	assert_int_equal(lfi_box_copyto(f->box, stack.sp - 65536, &byte, 1), 0);
	assert_int_equal(lfi_box_copyto(f->box, stack.sp - 65536 - 1, &byte, 1), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_UNMAPPED);
	assert_int_equal(lfi_box_copyto(f->box, stack.sp - 65536 - 256 * 1024, &byte, 1), -1);
}

static void
arguments_that_take_more_than_a_quarter_of_the_stack_are_refused(struct Fixture *f)
{
	struct LoadImage image = {0};
	struct LoadStack stack;
	const char *argv[1];
	char *longest = malloc(65536);
	lfiptr sp;

	assert_non_null(longest);
	memset(longest, 'x', 65535);
	longest[65535] = 0;
	argv[0] = longest;
	assert_int_equal(load_stack_map(f->box, 65536, &stack), 0);
	sp = stack.sp;
	assert_int_equal(load_stack_fill(f->box, &image, &(struct LoadArgs){1, argv, NULL, ""}, &stack), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_non_null(strstr(lfi_errmsg(), "more than a quarter of the stack (65536)"));
	assert_int_equal(stack.sp, sp);
	longest[15000] = 0;
	assert_int_equal(load_stack_fill(f->box, &image, &(struct LoadArgs){1, argv, NULL, ""}, &stack), 0);
	free(longest);
}

static void
a_stack_that_is_too_small_or_does_not_fit_is_refused(struct Fixture *f)
{
	struct LoadStack stack;

	assert_int_equal(load_stack_map(f->box, 100, &stack), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_int_equal(load_stack_map(f->box, SIZE_MAX - 100, &stack), -1);
	assert_int_equal(load_stack_map(f->box, (size_t) 1 << 33, &stack), -1);
	assert_false(something_is_mapped(f));
}

#define IN_BOX(name)                                                     \
	{                                                                \
#name, in_box, NULL, NULL, &(void (*)(struct Fixture *)) \
		{                                                        \
			name                                             \
		}                                                        \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_BOX(a_program_is_mapped_with_its_protections_and_contents),
	    IN_BOX(what_the_file_leaves_of_code_pages_is_traps),
	    IN_BOX(an_alignment_larger_than_a_page_is_kept),
	    IN_BOX(code_that_does_not_verify_is_named),
	    IN_BOX(each_damage_is_refused_and_leaves_nothing_mapped),
	    IN_BOX(a_stack_starts_with_arguments_environment_and_auxiliary_vector),
	    IN_BOX(the_stack_pointer_is_aligned_whatever_the_strings_take),
	    IN_BOX(two_stacks_have_different_random_bytes),
	    IN_BOX(a_guard_that_cannot_be_touched_lies_below_a_stack),
	    IN_BOX(arguments_that_take_more_than_a_quarter_of_the_stack_are_refused),
	    IN_BOX(a_stack_that_is_too_small_or_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
