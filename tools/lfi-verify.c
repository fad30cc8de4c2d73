/* SPDX-License-Identifier: MIT */
/*
 * lfi-verify: says whether the code of a program would be let into a sandbox, and if not, which instruction breaks
 * which rule. Reads ELF itself; the file may be hostile, so every offset in it is checked before it is followed.
 * Not trusted: what is executed is verified again when it is mapped.
 */
#include <elf.h>
#include <errno.h>
#include <getopt.h>
#include <lfi/lfi_verify.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 4096u
#define SANDBOX_SIZE ((uint64_t) 1 << 32)
#define TRAP 0xcc /* int3, with which the loader fills what the file leaves of a code page */

enum { ACCEPTED = 0, REFUSED = 1, UNREADABLE = 2 };

struct arguments {
	struct LFIVerifyOptions verify;
	size_t max_errors; /* 0 means all */
	uint64_t offset;
	bool raw;
	bool quiet;
};

/* A whole file in memory. */
struct file {
	const char *name;
	uint8_t *bytes;
	size_t size;
};

/* What the regions of one file amount to. */
struct verdict {
	const struct arguments *arguments;
	const struct file *file;
	const Elf64_Shdr *symtab; /* into the file; NULL when there is none */
	const Elf64_Shdr *strtab;
	uint64_t address; /* of the region being verified */
	uint64_t bytes, instructions, cpu;
	uint32_t code;
	size_t violations;
	double seconds;
};

static int
unreadable(const char *name, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "lfi-verify: %s: ", name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return UNREADABLE;
}

/* ---- The file ---- */

static int
read_all(FILE *stream, struct file *file)
{
	size_t room = 0, got;

	do {
		if (file->size == room) {
			uint8_t *bytes;

			room = room ? 2 * room : 1 << 20;
			bytes = realloc(file->bytes, room);
			if (!bytes)
				return unreadable(file->name, "not enough memory");
			file->bytes = bytes;
		}
		got = fread(file->bytes + file->size, 1, room - file->size, stream);
		file->size += got;
	} while (got);
	if (ferror(stream))
		return unreadable(file->name, "%s", strerror(errno));
	return 0;
}

static int
file_read(struct file *file, const char *name)
{
	FILE *stream = fopen(name, "rb");
	int result;

	*file = (struct file){.name = name};
	if (!stream)
		return unreadable(name, "%s", strerror(errno));
	result = read_all(stream, file);
	fclose(stream);
	return result;
}

/* `size` bytes at `offset`, or NULL when the file does not have them or they are not aligned for a struct. */
static const void *
file_at(const struct file *file, uint64_t offset, uint64_t size, size_t align)
{
	if (offset > file->size || size > file->size - offset || offset % align)
		return NULL;
	return file->bytes + offset;
}

/* ---- ELF ---- */

/* The header, or NULL when it is not that of a program for this processor. */
static const Elf64_Ehdr *
header_check(const struct file *file)
{
	const Elf64_Ehdr *h = file_at(file, 0, sizeof *h, 1);

	if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		unreadable(file->name, "not an ELF file");
	else if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
		unreadable(file->name, "not for x86-64 (class %u, machine %u)", h->e_ident[EI_CLASS], h->e_machine);
	else if (h->e_type != ET_DYN && h->e_type != ET_EXEC)
		unreadable(file->name, "not a linked program (ELF type %u)", h->e_type);
	else if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == PN_XNUM)
		unreadable(file->name, "program headers of %u bytes, %u of them", h->e_phentsize, h->e_phnum);
	else
		return h;
	return NULL;
}

/* The symbol table and its strings, if the file has them in good order. */
static void
symbols_find(struct verdict *v, const Elf64_Ehdr *header)
{
	const Elf64_Shdr *sections;

	if (header->e_shentsize != sizeof *sections)
		return;
	sections = file_at(v->file, header->e_shoff, (uint64_t) header->e_shnum * sizeof *sections, 8);
	for (unsigned i = 0; sections && i < header->e_shnum; i++) {
		const Elf64_Shdr *s = &sections[i];

		if (s->sh_type != SHT_SYMTAB || s->sh_link >= header->e_shnum)
			continue;
		if (!file_at(v->file, s->sh_offset, s->sh_size, 8))
			continue;
		if (!file_at(v->file, sections[s->sh_link].sh_offset, sections[s->sh_link].sh_size, 1))
			continue;
		v->symtab = s;
		v->strtab = &sections[s->sh_link];
	}
}

/* The nearest symbol at or below `address` as " <name+0x12>", empty if there is none. */
static void
symbol_text(const struct verdict *v, uint64_t address, char *text, size_t size)
{
	const Elf64_Sym *symbols, *best = NULL;
	const char *name;
	uint64_t left;

	text[0] = 0;
	if (!v->symtab)
		return;
	symbols = (const Elf64_Sym *) (const void *) (v->file->bytes + v->symtab->sh_offset);
	for (uint64_t i = 0; i < v->symtab->sh_size / sizeof *symbols; i++) {
		const Elf64_Sym *s = &symbols[i];
		unsigned type = ELF64_ST_TYPE(s->st_info);

		if ((type == STT_FUNC || type == STT_NOTYPE) && s->st_shndx != SHN_UNDEF && s->st_value <= address &&
		    s->st_name < v->strtab->sh_size &&
		    (!best || s->st_value > best->st_value || (s->st_value == best->st_value && type == STT_FUNC)))
			best = s;
	}
	if (!best)
		return;
	name = (const char *) v->file->bytes + v->strtab->sh_offset + best->st_name;
	left = v->strtab->sh_size - best->st_name;
	snprintf(text, size, " <%.*s+0x%llx>", left < 200 ? (int) left : 200, name,
	    (unsigned long long) (address - best->st_value));
}

/* ---- Verifying ---- */

static bool
violation_print(const struct LFIViolation *violation, void *user)
{
	struct verdict *v = user;
	uint64_t address = v->address + violation->offset;
	char symbol[256];

	v->violations++;
	if (v->arguments->quiet)
		return false;
	symbol_text(v, address, symbol, sizeof symbol);
	printf("%s: 0x%llx%s: `%s`: %s (%s)\n", v->file->name, (unsigned long long) address, symbol, violation->insn,
	    violation->reason, lfi_verify_rule_name(violation->rule));
	return !v->arguments->max_errors || v->violations < v->arguments->max_errors;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int
pages_verify(struct verdict *v, const uint8_t *pages, size_t size)
{
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	size_t scratch_size = lfi_verify_scratch_size(size);
	void *scratch = malloc(scratch_size ? scratch_size : 1);
	double start;
	int refused;

	if (!scratch)
		return unreadable(v->file->name, "not enough memory");
	start = now();
	refused = lfi_verify(
	    &v->arguments->verify, pages, size, v->address, scratch, scratch_size, violation_print, v, &report);
	v->seconds += now() - start;
	v->bytes += size;
	v->instructions += report.instructions;
	v->cpu |= report.cpu;
	v->code |= report.code;
	free(scratch);
	return refused ? REFUSED : ACCEPTED;
}

/* Makes a region of whole pages of the bytes at `address`, as the loader does, and verifies it. */
static int
region_verify(struct verdict *v, uint64_t address, const uint8_t *bytes, uint64_t size)
{
	uint64_t head = address % PAGE, pages_size;
	uint8_t *pages;
	int result;

	if (address >= SANDBOX_SIZE || size > SANDBOX_SIZE - address)
		return unreadable(v->file->name, "code at 0x%llx, 0x%llx bytes, does not fit in a sandbox",
		    (unsigned long long) address, (unsigned long long) size);
	pages_size = (head + size + PAGE - 1) / PAGE * PAGE;
	pages = malloc(pages_size ? pages_size : 1);
	if (!pages)
		return unreadable(v->file->name, "not enough memory");
	memset(pages, TRAP, pages_size);
	if (size > 0)
		memcpy(pages + head, bytes, size);
	v->address = address - head;
	result = pages_verify(v, pages, pages_size);
	free(pages);
	return result;
}

static int
segment_verify(struct verdict *v, const Elf64_Phdr *segment)
{
	const uint8_t *bytes = file_at(v->file, segment->p_offset, segment->p_filesz, 1);

	if (segment->p_flags & PF_W)
		return unreadable(v->file->name, "segment at 0x%llx is writable and executable",
		    (unsigned long long) segment->p_vaddr);
	if (!bytes)
		return unreadable(v->file->name, "truncated: the segment at 0x%llx is not in the file",
		    (unsigned long long) segment->p_vaddr);
	if (segment->p_memsz != segment->p_filesz)
		return unreadable(
		    v->file->name, "the code at 0x%llx is not all in the file", (unsigned long long) segment->p_vaddr);
	return region_verify(v, segment->p_vaddr, bytes, segment->p_filesz);
}

/* Two regions may not share a page; the segments must be in order of address. */
static int
segments_verify(struct verdict *v, const Elf64_Ehdr *header)
{
	const Elf64_Phdr *segments =
	    file_at(v->file, header->e_phoff, (uint64_t) header->e_phnum * sizeof *segments, 8);
	uint64_t free_from = 0;
	int result = ACCEPTED;
	bool found = false;

	if (!segments)
		return unreadable(v->file->name, "truncated: the program headers are not in the file");
	for (unsigned i = 0; i < header->e_phnum; i++) {
		int one;

		if (segments[i].p_type != PT_LOAD || !(segments[i].p_flags & PF_X))
			continue;
		if (found && segments[i].p_vaddr / PAGE * PAGE < free_from)
			return unreadable(
			    v->file->name, "segments overlap at 0x%llx", (unsigned long long) segments[i].p_vaddr);
		one = segment_verify(v, &segments[i]);
		if (one == UNREADABLE)
			return one;
		if (one == REFUSED)
			result = REFUSED;
		free_from = segments[i].p_vaddr + segments[i].p_memsz;
		found = true;
	}
	if (!found)
		return unreadable(v->file->name, "has no executable segment");
	return result;
}

static void
verdict_print(const struct verdict *v, int result)
{
	double rate = v->seconds > 0 ? (double) v->bytes / v->seconds / 1e6 : 0;

	if (result == REFUSED) {
		printf("%s: refused, %zu violation%s shown\n", v->file->name, v->violations,
		    v->violations == 1 ? "" : "s");
		return;
	}
	printf("%s: accepted, %llu bytes, %llu instructions (%.1f MB/s)\n", v->file->name,
	    (unsigned long long) v->bytes, (unsigned long long) v->instructions, rate);
	if (!v->cpu)
		return;
	printf("%s: needs", v->file->name);
	for (int i = 0; i < LFI_CPU_COUNT; i++)
		if (v->cpu >> i & 1)
			printf(" %s", lfi_cpu_feature_name(i));
	putchar('\n');
}

static int
elf_verify(struct verdict *v)
{
	const Elf64_Ehdr *header = header_check(v->file);

	if (!header)
		return UNREADABLE;
	symbols_find(v, header);
	return segments_verify(v, header);
}

static int
file_verify(const struct arguments *arguments, const char *name)
{
	struct file file;
	struct verdict v = {.arguments = arguments, .file = &file};
	int result = file_read(&file, name);

	if (!result)
		result = arguments->raw ? region_verify(&v, arguments->offset, file.bytes, file.size) : elf_verify(&v);
	if (result != UNREADABLE && !arguments->quiet)
		verdict_print(&v, result);
	free(file.bytes);
	return result;
}

/* ---- Arguments ---- */

static void
usage(FILE *to)
{
	fputs("usage: lfi-verify [options] FILE...\n"
	      "Says whether the code of each file would be let into a sandbox.\n\n"
	      "  -s, --sandbox=full|stores|jumps  what is confined (default full)\n"
	      "      --cfi=bundle32|bundle16      size of bundles (default bundle32)\n"
	      "      --single-thread              accept the single-thread return\n"
	      "      --no-rdtsc                   refuse rdtsc and rdtscp\n"
	      "      --max-errors=N               show at most N violations of a file (default 20; 0: all)\n"
	      "      --raw                        the files are flat code, not ELF\n"
	      "      --offset=N                   where flat code will be, from the base (default 0x100000)\n"
	      "  -q, --quiet                      print nothing but what cannot be read\n"
	      "  -h, --help                       print this\n"
	      "      --version                    print the version\n\n"
	      "Exit status: 0 all accepted, 1 one refused, 2 one not readable or bad usage.\n",
	    to);
}

enum { OPT_CFI = 256, OPT_SINGLE, OPT_RDTSC, OPT_MAX, OPT_RAW, OPT_OFFSET, OPT_VERSION };

static const struct option options[] = {
    {"sandbox", required_argument, NULL, 's'},
    {"cfi", required_argument, NULL, OPT_CFI},
    {"single-thread", no_argument, NULL, OPT_SINGLE},
    {"no-rdtsc", no_argument, NULL, OPT_RDTSC},
    {"max-errors", required_argument, NULL, OPT_MAX},
    {"raw", no_argument, NULL, OPT_RAW},
    {"offset", required_argument, NULL, OPT_OFFSET},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int
bad_value(const char *option, const char *value)
{
	fprintf(stderr, "lfi-verify: --%s: not a value: %s\n", option, value);
	return UNREADABLE;
}

static int
take_number(const char *option, const char *value, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(value, &end, 0);
	if (errno || *end || end == value || *value == '-')
		return bad_value(option, value);
	return 0;
}

static int
take_sandbox(struct arguments *a, const char *value)
{
	static const char *const names[] = {"full", "stores", "jumps"};

	for (int i = 0; i < 3; i++) {
		if (strcmp(value, names[i]) == 0) {
			a->verify.policy = i; /* enum LFIPolicy has this order */
			return 0;
		}
	}
	return bad_value("sandbox", value);
}

static int
take_cfi(struct arguments *a, const char *value)
{
	if (strcmp(value, "bundle32") == 0)
		a->verify.bundle = 32;
	else if (strcmp(value, "bundle16") == 0)
		a->verify.bundle = 16;
	else
		return bad_value("cfi", value);
	return 0;
}

static int
take_option(struct arguments *a, int option)
{
	uint64_t number;

	switch (option) {
	case 's':
		return take_sandbox(a, optarg);
	case OPT_CFI:
		return take_cfi(a, optarg);
	case OPT_SINGLE:
		a->verify.single_thread = true;
		return 0;
	case OPT_RDTSC:
		a->verify.no_rdtsc = true;
		return 0;
	case OPT_MAX:
		if (take_number("max-errors", optarg, &number))
			return UNREADABLE;
		a->max_errors = number;
		return 0;
	case OPT_RAW:
		a->raw = true;
		return 0;
	case OPT_OFFSET:
		return take_number("offset", optarg, &a->offset);
	case 'q':
		a->quiet = true;
		return 0;
	case 'h':
		usage(stdout);
		exit(0);
	case OPT_VERSION:
		puts("lfi-verify " LFI_VERSION_STRING);
		exit(0);
	default:
		usage(stderr);
		return UNREADABLE;
	}
}

int
main(int argc, char **argv)
{
	struct arguments a = {
	    .verify = {.struct_size = sizeof a.verify},
	    .max_errors = 20,
	    .offset = 0x100000,
	};
	int option, worst = ACCEPTED;

	while ((option = getopt_long(argc, argv, "s:qh", options, NULL)) != -1)
		if (take_option(&a, option))
			return UNREADABLE;
	if (optind == argc) {
		usage(stderr);
		return UNREADABLE;
	}
	a.verify.max_violations = SIZE_MAX; /* violation_print stops it */
	for (int i = optind; i < argc; i++) {
		int result = file_verify(&a, argv[i]);

		if (result > worst)
			worst = result;
	}
	return worst;
}
