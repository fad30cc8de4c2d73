/* SPDX-License-Identifier: MIT */
/* lfi-verify as people run it: exit status and words, for good files, bad code, and files that lie. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CODE_AT 0x1000
#define SYMBOLS_AT 0x400
#define STRINGS_AT 0x500
#define SECTIONS_AT 0x600

/* A program of one code page at 0x100000 with one symbol, `start`, at its beginning. */
struct image {
	uint8_t bytes[CODE_AT + 64];
	size_t size;
};

static Elf64_Ehdr *
header(struct image *image)
{
	return (void *) image->bytes;
}

static Elf64_Phdr *
segment(struct image *image)
{
	return (void *) (image->bytes + sizeof(Elf64_Ehdr));
}

static Elf64_Shdr *
sections(struct image *image)
{
	return (void *) (image->bytes + SECTIONS_AT);
}

static void
image_new(struct image *image)
{
	Elf64_Sym symbol = {
	    .st_name = 1, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = 1, .st_value = 0x100000};

	memset(image, 0, sizeof *image);
	image->size = sizeof image->bytes;
	*header(image) = (Elf64_Ehdr){
	    .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
	    .e_type = ET_DYN,
	    .e_machine = EM_X86_64,
	    .e_phoff = sizeof(Elf64_Ehdr),
	    .e_phentsize = sizeof(Elf64_Phdr),
	    .e_phnum = 1,
	    .e_shoff = SECTIONS_AT,
	    .e_shentsize = sizeof(Elf64_Shdr),
	    .e_shnum = 3,
	};
	*segment(image) = (Elf64_Phdr){.p_type = PT_LOAD,
	    .p_flags = PF_R | PF_X,
	    .p_offset = CODE_AT,
	    .p_vaddr = 0x100000,
	    .p_filesz = 64,
	    .p_memsz = 64};
	sections(image)[1] =
	    (Elf64_Shdr){.sh_type = SHT_SYMTAB, .sh_link = 2, .sh_offset = SYMBOLS_AT, .sh_size = sizeof symbol};
	sections(image)[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = STRINGS_AT, .sh_size = 8};
	memcpy(image->bytes + SYMBOLS_AT, &symbol, sizeof symbol);
	memcpy(image->bytes + STRINGS_AT, "\0start", 7);
	memset(image->bytes + CODE_AT, 0x90, 64);
}

/* Runs lfi-verify on the image; its output goes to `text`. Returns the exit status. */
static int
run(const char *arguments, const void *bytes, size_t size, char *text, size_t text_size)
{
	char name[] = "/tmp/lfi-verify-tool-XXXXXX", command[512];
	int fd = mkstemp(name), status;
	size_t got;
	FILE *out;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
	snprintf(command, sizeof command, "%s/lfi-verify %s %s 2>&1", getenv("LFI_BIN"), arguments, name);
	out = popen(command, "r");
	assert_non_null(out);
	got = fread(text, 1, text_size - 1, out);
	text[got] = 0;
	status = pclose(out);
	unlink(name);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
expect(struct image *image, const char *arguments, int status, const char *words)
{
	char text[8192];
	int got = run(arguments, image->bytes, image->size, text, sizeof text);

	if (got != status || !strstr(text, words))
		print_error("expected %d and \"%s\", got %d: %s\n", status, words, got, text);
	assert_int_equal(got, status);
	assert_non_null(strstr(text, words));
}

static void
good_code_is_accepted_with_a_throughput_figure(void **state)
{
	struct image image;

	image_new(&image);
	expect(&image, "", 0, "accepted, 4096 bytes");
	expect(&image, "", 0, "MB/s");
	expect(&image, "--sandbox=stores", 0, "accepted");
	expect(&image, "--sandbox=jumps --cfi=bundle16 --single-thread", 0, "accepted");
}

static void
bad_code_is_refused_by_address_symbol_instruction_and_rule(void **state)
{
	struct image image;

	image_new(&image);
	memcpy(image.bytes + CODE_AT + 4, "\x48\x8b\x00", 3);
	expect(&image, "", 1, "0x100004 <start+0x4>: `mov (%rax), %rax`: memory operand is not sandboxed (memory)");
	expect(&image, "", 1, "refused, 1 violation");
	expect(&image, "--sandbox=stores", 0, "accepted");
	memset(image.bytes + CODE_AT, 0xc3, 64);
	expect(&image, "--max-errors=3", 1, "refused, 3 violations");
	expect(&image, "--max-errors=0", 1, "refused, 64 violations");
	expect(&image, "--quiet", 1, "");
}

static void
options_change_the_verdict(void **state)
{
	struct image image;

	image_new(&image);
	memcpy(image.bytes + CODE_AT + 14, "\x48\x89\xc8", 3); /* over a 16-byte edge */
	expect(&image, "--cfi=bundle32", 0, "accepted");
	expect(&image, "--cfi=bundle16", 1, "bundle's edge");
	image_new(&image);
	memcpy(image.bytes + CODE_AT, "\x4c\x8b\x1c\x24\x41\x83\xe3\xe0\x4d\x01\xf3\x4c\x89\x1c\x24\xc3", 16);
	expect(&image, "", 1, "(return)");
	expect(&image, "--single-thread", 0, "accepted");
	image_new(&image);
	memcpy(image.bytes + CODE_AT, "\x0f\x31", 2);
	expect(&image, "", 0, "accepted");
	expect(&image, "--no-rdtsc", 1, "time stamp");
}

static void
flat_code_is_verified_where_it_is_said_to_be(void **state)
{
	uint8_t code[32];
	char text[4096];

	memset(code, 0x90, sizeof code);
	memcpy(code, "\xe9\xfb\xef\xff\xff", 5); /* jmp .-0x1000 */
	assert_int_equal(run("--raw --offset=0x1000", code, 32, text, sizeof text), 0);
	assert_int_equal(run("--raw --offset=0", code, 32, text, sizeof text), 1);
	assert_int_equal(run("--raw --offset=0x100000000", code, 32, text, sizeof text), 2);
	assert_int_equal(run("--raw --offset=x", code, 32, text, sizeof text), 2);
}

struct lie {
	const char *words;
	void (*tell)(struct image *image);
};

static void
lie_magic(struct image *i)
{
	i->bytes[0] = 0;
}
static void
lie_empty(struct image *i)
{
	i->size = 0;
}
static void
lie_header(struct image *i)
{
	i->size = 63;
}
static void
lie_class(struct image *i)
{
	i->bytes[EI_CLASS] = ELFCLASS32;
}
static void
lie_machine(struct image *i)
{
	header(i)->e_machine = EM_AARCH64;
}
static void
lie_type(struct image *i)
{
	header(i)->e_type = ET_REL;
}
static void
lie_phentsize(struct image *i)
{
	header(i)->e_phentsize = 8;
}
static void
lie_phoff(struct image *i)
{
	header(i)->e_phoff = UINT64_MAX - 7;
}
static void
lie_phnum(struct image *i)
{
	header(i)->e_phnum = 0xfffe;
}
static void
lie_none(struct image *i)
{
	segment(i)->p_flags = PF_R;
}
static void
lie_writable(struct image *i)
{
	segment(i)->p_flags = PF_R | PF_W | PF_X;
}
static void
lie_offset(struct image *i)
{
	segment(i)->p_offset = UINT64_MAX - 63;
}
static void
lie_filesz(struct image *i)
{
	segment(i)->p_filesz = segment(i)->p_memsz = (uint64_t) 1 << 63;
}
static void
lie_truncated(struct image *i)
{
	i->size = CODE_AT + 32;
}
static void
lie_memsz(struct image *i)
{
	segment(i)->p_memsz = 128;
}
static void
lie_vaddr(struct image *i)
{
	segment(i)->p_vaddr = ((uint64_t) 1 << 32) - 32;
}
static void
lie_far(struct image *i)
{
	segment(i)->p_vaddr = UINT64_MAX - 31;
}

static void
lie_overlap(struct image *i)
{
	header(i)->e_phnum = 2;
	segment(i)[1] = segment(i)[0];
	segment(i)[1].p_vaddr += 64;
}

static const struct lie lies[] = {
    {"not an ELF file", lie_magic},
    {"not an ELF file", lie_empty},
    {"not an ELF file", lie_header},
    {"not for x86-64", lie_class},
    {"not for x86-64", lie_machine},
    {"not a linked program", lie_type},
    {"program headers of 8 bytes", lie_phentsize},
    {"program headers are not in the file", lie_phoff},
    {"program headers are not in the file", lie_phnum},
    {"no executable segment", lie_none},
    {"writable and executable", lie_writable},
    {"is not in the file", lie_offset},
    {"is not in the file", lie_filesz},
    {"is not in the file", lie_truncated},
    {"is not all in the file", lie_memsz},
    {"does not fit in a sandbox", lie_vaddr},
    {"does not fit in a sandbox", lie_far},
    {"segments overlap", lie_overlap},
};

static void
a_file_that_lies_is_not_readable(void **state)
{
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		struct image image;

		image_new(&image);
		lies[i].tell(&image);
		expect(&image, "", 2, lies[i].words);
	}
}

static void
broken_symbols_cost_only_the_name(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		struct image image;

		image_new(&image);
		image.bytes[CODE_AT] = 0xc3;
		switch (i) {
		case 0:
			header(&image)->e_shoff = UINT64_MAX - 63;
			break;
		case 1:
			header(&image)->e_shnum = 0xffff;
			break;
		case 2:
			sections(&image)[1].sh_link = 77;
			break;
		case 3:
			sections(&image)[1].sh_offset = UINT64_MAX - 7;
			break;
		case 4:
			sections(&image)[1].sh_size = (uint64_t) 1 << 63;
			break;
		case 5:
			sections(&image)[2].sh_offset = 1 << 30;
			break;
		case 6:
			sections(&image)[2].sh_size = 1;
			break;
		case 7:
			header(&image)->e_shentsize = 1;
			break;
		}
		expect(&image, "", 1, "0x100000: `ret`");
	}
}

static void
usage_errors_exit_with_2_and_help_with_0(void **state)
{
	struct image image;

	image_new(&image);
	expect(&image, "--sandbox=none", 2, "not a value");
	expect(&image, "--cfi=bundle64", 2, "not a value");
	expect(&image, "--max-errors=-1", 2, "not a value");
	expect(&image, "--frob", 2, "usage");
	expect(&image, "/nonexistent", 2, "/nonexistent: No such file");
	expect(&image, "--help", 0, "usage");
	expect(&image, "--version", 0, "lfi-verify ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_code_is_accepted_with_a_throughput_figure),
	    cmocka_unit_test(bad_code_is_refused_by_address_symbol_instruction_and_rule),
	    cmocka_unit_test(options_change_the_verdict),
	    cmocka_unit_test(flat_code_is_verified_where_it_is_said_to_be),
	    cmocka_unit_test(a_file_that_lies_is_not_readable),
	    cmocka_unit_test(broken_symbols_cost_only_the_name),
	    cmocka_unit_test(usage_errors_exit_with_2_and_help_with_0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
