/* SPDX-License-Identifier: MIT */
/*
 * The quick walk and the rules over the code of real programs, those of LFI_PROGRAMS that `lfi-cc` made: the quick walk
 * accepts it, with the marks and the report of the rules, as a whole and in parts, and asks the rules about few
 * instructions. So nobody falls back to the rules without being seen, which would decide the same, but slowly.
 */
#include <dirent.h>
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "asked.h"

#define PAGE 4096

/* The executable segment of a program as the loader makes it. */
struct text {
	char name[300];
	uint8_t *code;
	size_t size;
	uint64_t offset;
	bool single_thread;
};

static struct text texts[64];
static size_t count;

static void
take_segment(struct text *text, FILE *in, const Elf64_Phdr *segment)
{
	size_t head = segment->p_vaddr % PAGE;

	text->size = (head + segment->p_filesz + PAGE - 1) / PAGE * PAGE;
	text->offset = segment->p_vaddr - head;
	text->code = malloc(text->size);
	assert_non_null(text->code);
	memset(text->code, 0xcc, text->size);
	assert_int_equal(fseek(in, (long) segment->p_offset, SEEK_SET), 0);
	assert_int_equal(fread(text->code + head, 1, segment->p_filesz, in), segment->p_filesz);
}

static void
take_program(const char *folder, const char *name)
{
	struct text *text = &texts[count];
	Elf64_Ehdr header;
	Elf64_Phdr segments[16];
	FILE *in;

	snprintf(text->name, sizeof text->name, "%s/%s", folder, name);
	in = fopen(text->name, "rb");
	assert_non_null(in);
	assert_int_equal(fread(&header, sizeof header, 1, in), 1);
	assert_in_range(header.e_phnum, 1, 16);
	assert_int_equal(fseek(in, (long) header.e_phoff, SEEK_SET), 0);
	assert_int_equal(fread(segments, sizeof segments[0], header.e_phnum, in), header.e_phnum);
	for (unsigned i = 0; i < header.e_phnum && !text->code; i++)
		if (segments[i].p_type == PT_LOAD && segments[i].p_flags & PF_X)
			take_segment(text, in, &segments[i]);
	fclose(in);
	assert_non_null(text->code);
	text->single_thread = strstr(name, ".st.lfi") != NULL;
	count++;
}

/* Name by name, so that what is printed has an order. */
static int
find_programs(void **state)
{
	const char *folder = getenv("LFI_PROGRAMS");
	struct dirent **names = NULL;
	int found = folder ? scandir(folder, &names, NULL, alphasort) : -1;

	for (int i = 0; i < found; i++) {
		size_t length = strlen(names[i]->d_name);

		if (length > 4 && strcmp(names[i]->d_name + length - 4, ".lfi") == 0 && count < 64)
			take_program(folder, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	if (count == 0)
		printf("skipped: there are no programs in LFI_PROGRAMS, %s\n", folder ? folder : "which is not set");
	return 0;
}

static int
free_programs(void **state)
{
	while (count > 0)
		free(texts[--count].code);
	return 0;
}

static struct verify
new_verify(const struct text *text, uint64_t *marks)
{
	size_t words = bitmap_words(text->size);

	memset(marks, 0, 2 * words * sizeof *marks);
	return (struct verify){.code = text->code,
	    .size = text->size,
	    .offset = text->offset,
	    .bundle = 32,
	    .single_thread = text->single_thread,
	    .targets = marks,
	    .wanted = marks + words,
	    .max_violations = 1};
}

static void
the_quick_walk_accepts_real_programs_as_the_rules_do(void **state)
{
	if (count == 0)
		skip();
	for (size_t i = 0; i < count; i++) {
		size_t size = lfi_verify_scratch_size(texts[i].size);
		uint64_t *quick_marks = malloc(size), *rules_marks = malloc(size);
		struct verify quick = new_verify(&texts[i], quick_marks), rules = new_verify(&texts[i], rules_marks);

		if (!quick_scan(&quick))
			fail_msg("%s: the quick walk does not accept it", texts[i].name);
		rules_scan(&rules);
		assert_int_equal(rules.report.violations, 0);
		assert_memory_equal(&quick.report, &rules.report, sizeof quick.report);
		assert_memory_equal(quick_marks, rules_marks, size);
		free(quick_marks);
		free(rules_marks);
	}
}

/* Of 1,000 instructions of a program so many may be the rules', single or in bundles. */
#define MOST_ALONE 40
#define MOST_BUNDLES 10

static void
the_rules_are_asked_about_few_instructions_of_real_programs(void **state)
{
	if (count == 0)
		skip();
	for (size_t i = 0; i < count; i++) {
		uint64_t *marks = malloc(lfi_verify_scratch_size(texts[i].size));
		struct verify v = new_verify(&texts[i], marks);
		size_t thousands;

		asked_alone = asked_bundles = 0;
		assert_true(quick_scan(&v));
		thousands = v.report.instructions / 1000 + 1;
		printf("%s: %zu instructions, the rules saw %zu alone and %zu bundles\n",
		    strrchr(texts[i].name, '/') + 1, v.report.instructions, asked_alone, asked_bundles);
		if (asked_alone > MOST_ALONE * thousands || asked_bundles > MOST_BUNDLES * thousands)
			fail_msg("%s: the rules are asked too often", texts[i].name);
		free(marks);
	}
}

static void
real_programs_are_accepted_by_their_parts(void **state)
{
	static const size_t counts[] = {1, 2, 3, 8, 100};

	if (count == 0)
		skip();
	for (size_t i = 0; i < count; i++) {
		const struct text *text = &texts[i];
		struct LFIVerifyOptions options = {.struct_size = sizeof options, .single_thread = text->single_thread};
		struct LFIVerifyReport whole = {.struct_size = sizeof whole}, report = whole;
		size_t words = bitmap_words(text->size), size = lfi_verify_scratch_size(text->size);
		uint64_t *marks = malloc(size);

		assert_int_equal(lfi_verify(&options, text->code, text->size, text->offset, marks, size, NULL, NULL, &whole), 0);
		for (size_t j = 0; j < sizeof counts / sizeof counts[0]; j++) {
			struct LFIVerifyPart parts[100];
			size_t n = counts[j], bit = 0;

			for (size_t part = 0; part < n; part++)
				assert_int_equal(lfi_verify_part(&options, text->code, text->size, text->offset, marks,
						     size, part, n, &parts[part]),
				    0);
			/* The start of an instruction to which no branch goes: verified as a whole, it would be gone. */
			while (!(marks[bit / 64] >> bit % 64 & 1) || marks[words + bit / 64] >> bit % 64 & 1)
				bit++;
			bit_set(marks + words, bit);
			asked_bundles = 0;
			assert_int_equal(lfi_verify_finish(&options, text->code, text->size, text->offset, marks, size,
					     parts, n, NULL, NULL, &report),
			    0);
			assert_true(bit_get(marks + words, bit));
			assert_true(asked_bundles <= 2 * n); /* drift that is pending at a part's end is soon confirmed */
			assert_memory_equal(&report, &whole, sizeof whole);
		}
		free(marks);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_quick_walk_accepts_real_programs_as_the_rules_do),
	    cmocka_unit_test(the_rules_are_asked_about_few_instructions_of_real_programs),
	    cmocka_unit_test(real_programs_are_accepted_by_their_parts),
	};

	return cmocka_run_group_tests(tests, find_programs, free_programs);
}
