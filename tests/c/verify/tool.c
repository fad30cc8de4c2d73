/* SPDX-License-Identifier: MIT */
/* lfi-verify as people run it: exit status and words, for good files, bad code, and files that lie. */
#include <elf.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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
	header(i)->e_type = ET_CORE;
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
    {"neither a program nor an object", lie_type},
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

/* ---- Objects, archives, JSON and the rest ---- */

/* Runs `format` by the shell, with %s the tool; stderr too. The text is valid until the next call. */
static const char *
shell(int *status, const char *format, ...)
{
	static char text[1 << 16];
	char command[1024];
	va_list args;
	size_t got;
	FILE *out;

	va_start(args, format);
	vsnprintf(command, sizeof command, format, args);
	va_end(args);
	out = popen(command, "r");
	assert_non_null(out);
	got = fread(text, 1, sizeof text - 1, out);
	text[got] = 0;
	*status = pclose(out);
	assert_true(WIFEXITED(*status));
	*status = WEXITSTATUS(*status);
	return text;
}

static char work[64]; /* a folder for files */

static const char *
tool(void)
{
	static char name[512];

	snprintf(name, sizeof name, "%s/lfi-verify", getenv("LFI_BIN"));
	return name;
}

static void
write_file(const char *name, const void *bytes, size_t size)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof path, "%s/%s", work, name);
	out = fopen(path, "wb");
	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, size, out), size);
	assert_int_equal(fclose(out), 0);
}

/* Assembles text to an object in the folder. */
static void
assemble(const char *name, const char *text)
{
	int status;

	write_file("text.s", text, strlen(text));
	text = shell(&status, "as --64 -o %s/%s %s/text.s 2>&1", work, name, work);
	if (status)
		print_error("%s\n", text);
	assert_int_equal(status, 0);
}

static void
expect_shell(int status, const char *words, const char *arguments)
{
	int got;
	const char *text = shell(&got, "cd %s && %s %s 2>&1", work, tool(), arguments);

	if (got != status || !strstr(text, words))
		print_error("%s: expected %d and \"%s\", got %d: %s\n", arguments, status, words, got, text);
	assert_int_equal(got, status);
	assert_non_null(strstr(text, words));
}

#define BUNDLES "\t.text\n\t.p2align 5\n"

static void
an_object_is_verified_section_by_section(void **state)
{
	assemble("good.o", BUNDLES "good: nop\n call other\n jmp good\n call near\n movl data(%rip), %eax\n"
				   "\t.p2align 5, 0x90\nnear: nop\n"
				   "\t.section .text.more,\"ax\"\n\t.p2align 5\n jmp good+32\n jmp near\n");
	expect_shell(0, "good.o: accepted as far as an object tells, 8192 bytes", "good.o");
	assemble("bad.o", BUNDLES "good: nop\n\t.section .text.more,\"ax\"\n\t.p2align 5\nworse: nop\nnop\nret\n");
	expect_shell(1, "bad.o: 0x1000002 <worse+0x2>: `ret`", "bad.o");
	assemble("empty.o", "\t.data\n\t.long 1\n");
	expect_shell(0, "empty.o: accepted", "empty.o");
	assemble("crooked.o", "\t.text\n nop\n");
	expect_shell(2, "is aligned to 1 bytes", "crooked.o");
	assemble("writable.o", "\t.section .code,\"awx\"\n\t.p2align 5\n nop\n");
	expect_shell(2, "writable and executable", "writable.o");
}

/* A branch over a relocation leads where the linker will have it lead. */
static void
relocations_of_an_object_are_followed_where_they_can_be(void **state)
{
	assemble("group.o", BUNDLES "f: nop\n andl $-32, %eax\n.globl inside\ninside: addq %r14, %rax\n jmpq *%rax\n"
				    "\t.p2align 5, 0x90\n jmp inside\n");
	expect_shell(1, "(direct branch)", "group.o");
	assemble("start.o", BUNDLES "f: nop\n.globl start\nstart: andl $-32, %eax\n addq %r14, %rax\n jmpq *%rax\n"
				    "\t.p2align 5, 0x90\n jmp start\n");
	expect_shell(0, "accepted", "start.o");
}

/* The file in the folder, to be changed and written back. */
static Elf64_Ehdr *
read_object(const char *name, size_t *size)
{
	static _Alignas(8) uint8_t bytes[1 << 16];
	char path[128];
	FILE *in;

	snprintf(path, sizeof path, "%s/%s", work, name);
	in = fopen(path, "rb");
	assert_non_null(in);
	*size = fread(bytes, 1, sizeof bytes, in);
	fclose(in);
	return (void *) bytes;
}

static void
an_object_that_lies_is_not_readable(void **state)
{
	Elf64_Ehdr *object;
	Elf64_Shdr *table;
	unsigned rela = 0, data = 0;
	size_t size;

	assemble("nobits.o", "\t.section .code,\"ax\",@nobits\n\t.p2align 5\n\t.skip 32\n");
	expect_shell(2, "section 4 is not in the file", "nobits.o");

	assemble("lie.o", BUNDLES "f: call g\n\t.data\n\t.quad f\n");
	expect_shell(0, "accepted", "lie.o");
	object = read_object("lie.o", &size);
	table = (void *) ((uint8_t *) object + object->e_shoff);
	for (unsigned i = 1; i < object->e_shnum; i++) {
		if (table[i].sh_type == SHT_RELA && table[table[i].sh_info].sh_flags & SHF_EXECINSTR)
			rela = i;
		else if (table[i].sh_type == SHT_RELA)
			data = i;
	}
	assert_true(rela && data);
	table[data].sh_info = table[rela].sh_info;
	write_file("lie.o", object, size);
	expect_shell(2, "has two tables of relocations", "lie.o");
	table[data].sh_info = 0xffff;
	write_file("lie.o", object, size);
	expect_shell(0, "accepted", "lie.o");
	((Elf64_Rela *) (void *) ((uint8_t *) object + table[rela].sh_offset))->r_offset = table[1].sh_size - 3;
	write_file("lie.o", object, size);
	expect_shell(2, "a relocation is outside its section", "lie.o");
	table[rela].sh_offset = size - 8;
	write_file("lie.o", object, size);
	expect_shell(2, "relocations of section 1 are not in the file", "lie.o");
	/* As many sections as wrap around when they are counted in bytes. */
	object->e_shnum = 0;
	table[0].sh_size = (uint64_t) 1 << 58;
	write_file("lie.o", object, size);
	expect_shell(2, "the section headers are not in the file", "lie.o");
}

static void
each_member_of_an_archive_is_verified(void **state)
{
	int status;

	assemble("good.o", BUNDLES "good: nop\n");
	assemble("bad.o", BUNDLES "bad: ret\n");
	assemble("a-name-that-is-longer-than-sixteen.o", BUNDLES "long: nop\n");
	shell(&status, "cd %s && rm -f *.a && ar rcs good.a good.o a-name-that-is-longer-than-sixteen.o && "
		       "ar rcs bad.a good.o bad.o && ar rcs empty.a && ar rcT thin.a good.o && "
		       "echo text >text.txt && ar rc text.a good.o text.txt && ar rc odd.a text.txt good.o 2>&1",
	    work);
	assert_int_equal(status, 0);
	expect_shell(0, "good.a(good.o): accepted", "good.a");
	expect_shell(0, "good.a(a-name-that-is-longer-than-sixteen.o): accepted", "good.a");
	expect_shell(1, "bad.a(bad.o): 0x1000000 <bad+0x0>: `ret`", "bad.a");
	expect_shell(1, "bad.a(good.o): accepted", "bad.a");
	expect_shell(0, "empty.a: accepted", "empty.a");
	expect_shell(2, "thin archive", "thin.a");
	expect_shell(2, "text.a(text.txt): not an ELF file", "text.a");
	expect_shell(2, "odd.a(good.o): accepted", "odd.a");
	/* BSD's way of names; the size counts the name. */
	shell(&status, "cd %s && (printf '!<arch>\\n'; printf '#1/8            0           0     0     644     %%-10s`\\n' "
		       "$(($(wc -c <bad.o) + 8)); printf 'name.o\\0\\0'; cat bad.o) >bsd.a",
	    work);
	expect_shell(1, "bsd.a(name.o): 0x1000000 <bad+0x0>: `ret`", "bsd.a");
}

struct header_lie {
	const char *words;
	char header[61]; /* of the second member; the first is "//" with "long/\n" */
};

static const struct header_lie header_lies[] = {
    {"a member's header is broken", "x/              0           0     0     644     0         ``"},
    {"a member's header is broken", "x/              0           0     0     644     x         `\n"},
    {"a member's header is broken", "x/              0           0     0     644     -1        `\n"},
    {"a member's header is broken", "x/              0           0     0     644     1 1       `\n"},
    {"a member's header is broken", "x/              0           0     0     644               `\n"},
    {"a member is not in the file", "x/              0           0     0     644     1         `\n"},
    {"a member is not in the file", "x/              0           0     0     644     9999999999`\n"},
    {"a member's name is not in the file", "/6              0           0     0     644     0         `\n"},
    {"a member's name is not in the file", "/9999999999999990           0     0     644     0         `\n"},
    {"a member's name is not in the file", "/x              0           0     0     644     0         `\n"},
    {"a member's name is not in the file", "#1/1            0           0     0     644     0         `\n"},
    {"a member's name is not in the file", "#1/x            0           0     0     644     0         `\n"},
    {"a.a(long): not an ELF file", "/0              0           0     0     644     0         `\n"},
    {"a member's header is cut off", "x/              0"},
};

static void
an_archive_that_lies_is_not_readable(void **state)
{
	for (size_t i = 0; i < sizeof header_lies / sizeof header_lies[0]; i++) {
		char bytes[256];

		snprintf(bytes, sizeof bytes, "!<arch>\n//                                              6         `\nlong/\n%s",
		    header_lies[i].header);
		write_file("a.a", bytes, strlen(bytes));
		expect_shell(2, header_lies[i].words, "a.a");
	}
}

/* ---- JSON: just enough of a parser to know that it is some ---- */

static const char *json_value(const char *p);

static const char *
json_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static const char *
json_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if ((unsigned char) *p < 0x20)
			return NULL;
		if (*p != '\\')
			continue;
		p++;
		if (*p == 'u' && strspn(p + 1, "0123456789abcdefABCDEF") >= 4)
			p += 4;
		else if (!*p || !strchr("\"\\/bfnrt", *p))
			return NULL;
	}
	return p + 1;
}

static const char *
json_list(const char *p, char close, bool keys)
{
	p = json_space(p + 1);
	if (*p == close)
		return p + 1;
	for (;;) {
		if (keys) {
			p = json_string(json_space(p));
			if (!p || *(p = json_space(p)) != ':')
				return NULL;
			p++;
		}
		p = json_value(json_space(p));
		if (!p)
			return NULL;
		p = json_space(p);
		if (*p == close)
			return p + 1;
		if (*p++ != ',')
			return NULL;
	}
}

static const char *
json_value(const char *p)
{
	char *end;

	if (*p == '{')
		return json_list(p, '}', true);
	if (*p == '[')
		return json_list(p, ']', false);
	if (*p == '"')
		return json_string(p);
	if (strncmp(p, "true", 4) == 0)
		return p + 4;
	if (strncmp(p, "false", 5) == 0)
		return p + 5;
	strtod(p, &end);
	return end == p ? NULL : end;
}

static void
expect_json(int status, const char *words, const char *arguments)
{
	int got;
	const char *text = shell(&got, "cd %s && %s --json %s", work, tool(), arguments);
	const char *end = json_value(text);

	if (!end || *json_space(end) || got != status || !strstr(text, words))
		print_error("%s: expected %d and \"%s\", got %d: %s\n", arguments, status, words, got, text);
	assert_true(end && *json_space(end) == 0);
	assert_int_equal(got, status);
	assert_non_null(strstr(text, words));
}

static void
json_has_all_that_the_lines_have(void **state)
{
	struct image image;
	int status;

	image_new(&image);
	write_file("good", image.bytes, image.size);
	memcpy(image.bytes + CODE_AT + 4, "\x48\x8b\x00", 3);
	write_file("bad", image.bytes, image.size);
	write_file("none", "none", 4);
	assemble("good.o", BUNDLES "good: nop\n");
	shell(&status, "cd %s && ar rcs j.a good.o", work);
	expect_json(0, "\"verdict\": \"accepted\", \"kind\": \"program\", \"bytes\": 4096", "good");
	expect_json(0, "{\"schema\": 1, \"version\": \"", "good");
	expect_json(0, "\"sandbox\": \"full\", \"bundle\": 32, \"single_thread\": false, \"no_rdtsc\": false", "good");
	expect_json(0, "\"sandbox\": \"jumps\", \"bundle\": 16, \"single_thread\": true, \"no_rdtsc\": true",
	    "--sandbox=jumps --cfi=bundle16 --single-thread --no-rdtsc good");
	expect_json(1, "{\"address\": 1048580, \"symbol\": \"start\", \"symbol_offset\": 4, \"rule\": \"memory\", "
		       "\"reason\": \"memory operand is not sandboxed\", \"instruction\": \"mov (%rax), %rax\", "
		       "\"bytes\": \"488b00\"}",
	    "bad");
	expect_json(2, "\"file\": \"none\", \"violations\": [], \"verdict\": \"unreadable\", \"error\": \"not an ELF file\"}",
	    "none");
	expect_json(2, "\"error\": \"No such file or directory\"", "absent");
	expect_json(2, "\"status\": 2}", "good none bad j.a");
	expect_json(1, "\"status\": 1}", "bad good");
	expect_json(0, "\"member\": \"good.o\"", "j.a");
	expect_json(0, "\"stats\": {\"instructions\": ", "--stats good j.a");
	/* A folder without a name of its own in any encoding. */
	shell(&status, "cd %s && cp good \"$(printf 'a\\001\"\\\\\\377\\303\\244')\"", work);
	expect_json(0, "\"file\": \"a\\u0001\\\"\\\\\\u00ff\xc3\xa4\"", "a*[!.ao]");
	expect_shell(2, "exclude each other", "--json --quiet good");
}

static void
violations_are_disassembled_where_there_is_a_disassembler(void **state)
{
	struct image image;
	const char *text;
	int status;

	image_new(&image);
	memcpy(image.bytes + CODE_AT + 4, "\x48\x8b\x00", 3);
	write_file("bad", image.bytes, image.size);
	shell(&status, "command -v objdump");
	if (status == 0) {
		expect_shell(1, "    100004:\t48 8b 00             \tmov    (%rax),%rax\n", "--disassemble-violations bad");
		expect_json(1, "\"disassembly\": \"  100004:", "--disassemble-violations bad");
	} else {
		print_message("objdump is not there: only what is said without it is tested\n");
	}
	text = shell(&status, "cd %s && PATH=/nonexistent %s --disassemble-violations bad", work, tool());
	assert_int_equal(status, 1);
	assert_non_null(strstr(text, "    100004:\t48 8b 00\t(no objdump)\n"));
}

static void
statistics_say_what_code_consists_of(void **state)
{
	/* Each kind of group once; 14 instructions of groups, and what stands around. */
	assemble("mix.o", BUNDLES
	    "f:\tpopq %rcx\n andl $-32, %ecx\n addq %r14, %rcx\n jmpq *%rcx\n\t.p2align 5, 0x90\n"
	    "\tandl $-32, %r11d\n addq %r14, %r11\n jmpq *%r11\n\t.p2align 5, 0x90\n"
	    "\tandl $-32, %eax\n addq %r14, %rax\n callq *%rax\n\t.p2align 5, 0x90\n"
	    "\tleaq 1f(%rip), %r11\n jmpq *-8(%r14)\n1:\t.p2align 5, 0x90\n"
	    "\tmovl %ebp, %esp\n addq %r14, %rsp\n"
	    "\tmovl %edi, %edi\n leaq (%r14,%rdi), %rdi\n rep stosq\n\t.p2align 5, 0x90\n"
	    "\tmovl %eax, %edx\n movq 8(%r14,%rdx), %rax\n"
	    "\tmovl %gs:(%eax), %ecx\n movq 8(%rsp), %rdx\n movq 16(%r15), %rax\n leal 1(%rax), %ebx\n"
	    "\t.p2align 5, 0x90\n movl f(%rip), %eax\n cmpl $1, %eax\n je f\n call f\n vaddps %ymm0, %ymm1, %ymm2\n fld1\n"
	    "\t.p2align 5, 0xcc\n");
	expect_json(0, "\"groups\": {\"jump\": 1, \"return\": 1, \"call\": 1, \"runtime-call\": 1, "
		       "\"single-thread-return\": 0, \"stack-pointer\": 1, \"string\": 1, \"memory\": 1}",
	    "--stats mix.o");
	expect_json(0, "\"operands\": {\"gs\": 1, \"stack\": 1, \"rip\": 1, \"context\": 1, \"other\": 2}", "--stats mix.o");
	expect_json(0, "\"vector\": 1, \"x87\": 1", "--stats mix.o");
	expect_json(0, "\"level\": \"x86-64-v3\", \"features\": [\"avx\"], \"uses\": [\"avx\", \"x87\"]", "mix.o");
	expect_shell(0, "mix.o: runs on x86-64-v3\nmix.o: uses avx x87\n", "--features mix.o");
	expect_shell(0, "padding ", "--stats mix.o");
	assemble("st.o", BUNDLES "movq (%rsp), %r11\n andl $-32, %r11d\n addq %r14, %r11\n movq %r11, (%rsp)\n ret\n");
	expect_json(0, "\"single-thread-return\": 1", "--stats --single-thread st.o");
	assemble("aes.o", BUNDLES "aesenc %xmm0, %xmm1\n");
	expect_shell(0, "runs on x86-64-v1 with aes\n", "--features aes.o");
	assemble("v4.o", BUNDLES "vpaddb %ymm0, %ymm16, %ymm17{%k1}\n");
	expect_shell(0, "v4.o: runs on x86-64-v4\nv4.o: uses avx avx512\n", "--features v4.o");
	expect_json(0, "\"features\": [\"avx\", \"avx512f\", \"avx512bw\", \"avx512vl\"]", "v4.o");
	assemble("vbmi.o", BUNDLES "vpermb %zmm0, %zmm16, %zmm17\n");
	expect_shell(0, "runs on x86-64-v4 with avx512-vbmi\n", "--features vbmi.o");
	assemble("masks.o", BUNDLES "kmovw %eax, %k1\n");
	expect_shell(0, "masks.o: runs on x86-64-v4\nmasks.o: uses avx512\n", "--features masks.o");
}

/* The statistics have a decoder of their own: it finds the same instructions in all that is accepted. */
static void
statistics_count_the_instructions_that_the_verifier_counts(void **state)
{
	static const char insns[] =
	    "movabsq $1, %rax\n movw $1, %ax\n movb $1, %al\n imulw $300, %ax, %cx\n imull $3, %eax, %ecx\n testb $1, %al\n"
	    "testl $1, %eax\n testw $1, %cx\n notl %eax\n shldl $3, %eax, %ecx\n shll $3, %eax\n shll %eax\n btl $3, %eax\n"
	    "bswapq %rax\n cmovel %eax, %ecx\n sete %al\n movzbl %al, %eax\n popcntl %eax, %ecx\n crc32l %eax, %ecx\n"
	    "pshufd $1, %xmm0, %xmm1\n pinsrw $1, %eax, %xmm0\n pextrw $1, %xmm0, %eax\n shufps $1, %xmm0, %xmm1\n"
	    "cmpps $1, %xmm0, %xmm1\n psllw $1, %xmm0\n palignr $1, %xmm0, %xmm1\n roundsd $1, %xmm0, %xmm1\n emms\n"
	    "vaddps %ymm8, %ymm1, %ymm2\n vpshufd $1, %xmm0, %xmm1\n vpsllw $1, %ymm0, %ymm1\n vzeroupper\n"
	    "vperm2f128 $1, %ymm0, %ymm1, %ymm2\n vfmadd213ps %gs:(%r8d,%r9d,4), %ymm1, %ymm2\n andnl %eax, %ecx, %edx\n"
	    "rorxl $1, %eax, %ecx\n fldl %gs:8(%eax)\n fld1\n cpuid\n rdtsc\n rdtscp\n xgetbv\n pause\n mfence\n"
	    "cmpxchg8b %gs:(%eax)\n lock xaddl %eax, %gs:(%ecx)\n movl %gs:0x12345678(,%eax,8), %ecx\n pushq $1\n"
	    "pushq $1000\n prefetcht0 8(%rsp)\n leaq 0x100(%rax,%rbx,2), %rcx\n leal 5(,%rax,8), %ecx\n nopw 0(%rax,%rax)\n"
	    "1: jrcxz 1b\n loop 1b\n je f\n pushfq\n lahf\n cwtl\n cqto\n xchgl %eax, %ecx\n addl $1000, %eax\n"
	    "addw $1000, %ax\n addb $1, %al\n adcq $1, %rcx\n movl $1, %gs:4(%eax)\n movw $1, %gs:4(%eax)\n movslq %eax, %rcx\n"
	    "rdrand %eax\n endbr64\n ud2\n hlt\n"
	    "vaddps {rn-sae}, %zmm1, %zmm2, %zmm3{%k1}{z}\n vaddpd %gs:64(%eax){1to8}, %zmm2, %zmm17\n"
	    "vpermt2w %gs:(%eax,%ecx,4), %zmm2, %zmm3\n vpsrlw $3, %zmm16, %zmm1\n vpshufd $3, %zmm16, %zmm1\n"
	    "vcmpps $1, %zmm0, %zmm1, %k2\n vpinsrw $1, %eax, %xmm16, %xmm1\n vshufps $1, %zmm0, %zmm1, %zmm2\n"
	    "vpternlogd $200, %zmm0, %zmm1, %zmm2\n vaddph %zmm0, %zmm1, %zmm2\n vfmadd132ph %zmm0, %zmm1, %zmm2\n"
	    "vmovsh %gs:2(%eax), %xmm0\n kmovq %gs:(%eax), %k1\n kshiftlq $3, %k1, %k2\n kandw %k1, %k2, %k3\n"
	    "vcvttps2udq %zmm0, %zmm1\n vpmovdb %zmm0, %gs:16(%eax)\n vextracti32x8 $1, %zmm0, %ymm1\n";
	char text[16384] = BUNDLES "\t.bundle_align_mode 5\nf:\n";
	const char *out, *counted, *said;
	int status;

	strcat(text, insns);
	assemble("all.o", text);
	out = shell(&status, "cd %s && %s --json --stats all.o", work, tool());
	if (status)
		print_error("%s\n", out);
	assert_int_equal(status, 0);
	said = strstr(out, "\"instructions\": ");
	counted = strstr(out, "\"stats\": {\"instructions\": ");
	assert_true(said && counted && said < counted);
	assert_int_equal(atoi(said + strlen("\"instructions\": ")), atoi(counted + strlen("\"stats\": {\"instructions\": ")));
	assert_non_null(strstr(out, "\"bytes\": 4096, \"padding_bytes\""));
}

static void
many_files_come_out_in_their_order(void **state)
{
	struct image image;
	char names[4096] = "";
	const char *text;
	int status, at = 0;

	image_new(&image);
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof name, "file%02d", i);
		image.bytes[CODE_AT] = i % 3 ? 0x90 : 0xc3;
		write_file(name, image.bytes, image.size);
		snprintf(names + strlen(names), 20, " %s", name);
	}
	for (unsigned jobs = 1; jobs < 300; jobs = 7 * jobs) {
		text = shell(&status, "cd %s && %s --jobs=%u %s 2>&1", work, tool(), jobs, names);
		assert_int_equal(status, 1);
		at = 0;
		for (int i = 0; i < 40; i++) {
			char verdict[40];
			const char *found;

			snprintf(verdict, sizeof verdict, "file%02d: %s", i, i % 3 ? "accepted" : "refused");
			found = strstr(text + at, verdict);
			if (!found)
				print_error("%s\n", text);
			assert_non_null(found);
			at = (int) (found - text);
		}
	}
	expect_shell(2, "not a value", "--jobs=0 file01");
	expect_shell(2, "not a value", "--jobs=x file01");
}

/* The first line of what it says, without the throughput. */
static void
judge_large(char line[400], int *status, const char *arguments)
{
	char *end;

	snprintf(line, 400, "%s", shell(status, "cd %s && %s %s large 2>&1", work, tool(), arguments));
	end = strstr(line, " (");
	if (end)
		*end = 0;
}

/* Calls to and fro, and drift pending at every bundle's end: parts have much to do with each other. */
static void
large_files_are_looked_at_in_parts_with_the_same_result(void **state)
{
	static uint8_t code[17 << 20]; /* so large that one thread takes parts, too */
	static const struct {
		size_t at;
		uint8_t byte;
		int status;
	} rows[] = {{0, 0x50, 0}, {12345 * 32 + 10, 0x06, 1}, {sizeof code - 32, 0x06, 1}, {9 * 32 + 31, 0xb8, 1},
	    {300000 * 32 + 2, 0x01, 1} /* a call to no instruction */};
	static const char *const ways[] = {"--raw --jobs=2 --quiet", "--raw --jobs=3", "--raw --jobs=100 --max-errors=2"};

	for (size_t at = 0; at < sizeof code; at += 32) {
		int32_t distance = (int32_t) (at * 40503 % sizeof code / 32 * 32 - (at + 6));

		memset(code + at, 0x90, 32);
		memcpy(code + at, "\x50\xe8", 2);
		memcpy(code + at + 2, &distance, 4);
		if (at + 32 < sizeof code)
			memcpy(code + at + 6, "\x48\x83\xec\x08", 4);
	}
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char one[400], other[400];
		uint8_t kept = code[rows[i].at];
		int status;

		code[rows[i].at] = rows[i].byte;
		write_file("large", code, sizeof code);
		judge_large(one, &status, "--raw --jobs=1");
		assert_int_equal(status, rows[i].status);
		for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
			judge_large(other, &status, ways[way]);
			assert_int_equal(status, rows[i].status);
			if (way > 0)
				assert_string_equal(one, other);
		}
		code[rows[i].at] = kept;
	}
}

static void
the_standard_input_is_a_file(void **state)
{
	struct image image;

	image_new(&image);
	write_file("good", image.bytes, image.size);
	expect_shell(0, "(standard input): accepted", "- <good");
	expect_shell(2, "(standard input): not an ELF file", "- </dev/null");
	expect_shell(2, "(standard input): not an ELF file", "- </dev/zero");
}

/* Reads from a terminal until it has said `words`, or to its end. Whether it has. */
static bool
terminal_says(int terminal, const char *words, char *text, size_t size)
{
	size_t length = strlen(text);
	ssize_t got;

	while (!strstr(text, words) && (got = read(terminal, text + length, size - 1 - length)) > 0) {
		length += (size_t) got;
		text[length] = 0;
	}
	return strstr(text, words) != NULL;
}

static void
who_waits_at_a_terminal_sees_how_far_it_is(void **state)
{
	struct image image;
	char text[8192] = "";
	int ends[2], terminal, status;
	pid_t child;

	image_new(&image);
	assert_int_equal(pipe(ends), 0);
	child = forkpty(&terminal, NULL, NULL, NULL);
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[0], 0);
		close(ends[0]);
		close(ends[1]);
		alarm(100);
		execl(tool(), "lfi-verify", "-", (char *) NULL);
		_exit(3);
	}
	close(ends[0]);
	/* It has nothing to do until it has said so. */
	assert_true(terminal_says(terminal, "lfi-verify: 0 of 1 files, 0.0 MB of code", text, sizeof text));
	assert_int_equal(write(ends[1], image.bytes, image.size), image.size);
	close(ends[1]);
	assert_true(terminal_says(terminal, "(standard input): accepted", text, sizeof text));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(terminal);
}

static void
names_do_not_reach_the_terminal_as_commands(void **state)
{
	struct image image;

	image_new(&image);
	image.bytes[CODE_AT] = 0xc3;
	memcpy(image.bytes + STRINGS_AT, "\0\033[2Jx", 6);
	expect(&image, "", 1, "<?[2Jx+0x0>");
}

/* Random changes of a program, an object and an archive: always an exit status, never a signal. */
static void
garbage_gets_an_exit_status(void **state)
{
	static uint8_t bytes[1 << 16], changed[1 << 16];
	static const char *const names[] = {"g.program", "g.o", "g.a"};
	struct image image;
	uint64_t x = 88172645463325252ull;
	int status;

	image_new(&image);
	write_file(names[0], image.bytes, image.size);
	assemble("g.o", BUNDLES "f: nop\n call g\n jmp f\n movl d(%rip), %eax\n ret\n\t.section .text.x,\"ax\"\n\t.p2align 5\n jmp f\n");
	shell(&status, "cd %s && rm -f g.a && ar rcs g.a g.o good.o a-name-that-is-longer-than-sixteen.o", work);
	for (int round = 0; round < 600; round++) {
		char path[128];
		size_t size, limit;
		FILE *in;

		snprintf(path, sizeof path, "%s/%s", work, names[round % 3]);
		in = fopen(path, "rb");
		assert_non_null(in);
		size = fread(bytes, 1, sizeof bytes, in);
		fclose(in);
		memcpy(changed, bytes, size);
		for (int i = 0; i <= round % 5; i++) {
			static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff, 8, 0x40, 0x20};

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			/* Mostly the headers: at the beginning of a program, all over an object. */
			limit = round % 3 == 0 && x >> 60 ? (size_t) 1 << (6 + (x >> 40) % 5) : size;
			changed[(x >> 20) % (limit < size ? limit : size)] = values[x % 8];
		}
		if (round % 7 == 0)
			size = (size_t) (x >> 16) % (size + 1);
		write_file("changed", changed, size);
		shell(&status, "cd %s && %s --stats --features %s changed 2>&1", work, tool(), round & 1 ? "--json" : "");
		assert_in_range(status, 0, 2);
	}
}

static int
work_make(void **state)
{
	strcpy(work, "/tmp/lfi-verify-work-XXXXXX");
	return mkdtemp(work) ? 0 : -1;
}

static int
work_remove(void **state)
{
	int status;

	shell(&status, "rm -rf %s", work);
	return status;
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
	    cmocka_unit_test(an_object_is_verified_section_by_section),
	    cmocka_unit_test(relocations_of_an_object_are_followed_where_they_can_be),
	    cmocka_unit_test(an_object_that_lies_is_not_readable),
	    cmocka_unit_test(each_member_of_an_archive_is_verified),
	    cmocka_unit_test(an_archive_that_lies_is_not_readable),
	    cmocka_unit_test(json_has_all_that_the_lines_have),
	    cmocka_unit_test(violations_are_disassembled_where_there_is_a_disassembler),
	    cmocka_unit_test(statistics_say_what_code_consists_of),
	    cmocka_unit_test(statistics_count_the_instructions_that_the_verifier_counts),
	    cmocka_unit_test(many_files_come_out_in_their_order),
	    cmocka_unit_test(large_files_are_looked_at_in_parts_with_the_same_result),
	    cmocka_unit_test(the_standard_input_is_a_file),
	    cmocka_unit_test(who_waits_at_a_terminal_sees_how_far_it_is),
	    cmocka_unit_test(names_do_not_reach_the_terminal_as_commands),
	    cmocka_unit_test(garbage_gets_an_exit_status),
	};

	return cmocka_run_group_tests(tests, work_make, work_remove);
}
