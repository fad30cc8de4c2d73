//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * A program's stack and what the System V ABI puts on it: argc, argv, envp,
 * the auxiliary vector, and the strings they point to. Called when a process
 * gets its first thread. Trusted.
 *
 *   I1  The block is laid out in a host buffer of exactly the size that was counted, then copied with the box's copy.
 *   I2  It takes at most a quarter of the stack.
 *   I3  No host address is in it: no vDSO, no interpreter; AT_RANDOM is fresh.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <unistd.h>

#include "checked.h"
#include "core.h"
#include "error.h"
#include "load.h"
#include "load_arch.h"

/* More than the stack pointer may drift without an access (scheme section 5), so that an overflow meets the guard. */
enum { STACK_GUARD = 256 * 1024, STACK_MIN = 16 * 1024, RANDOM_BYTES = 16, STACK_ALIGN = 16 };

/* The block: words go up from sp, strings follow them. */
struct Block {
	unsigned char *bytes;
	size_t size;
	lfiptr sp;
	lfiptr handed; /* sp as the program sees it: an offset when it is oblivious */
	size_t word;   /* offset of the next word */
	size_t string; /* offset of the next string */
};

/* At the sandbox's lower end, and a page below the program, for core's callback entries. False when it does not fit. */
static bool
map_low(struct LFIBox *box, uint64_t size, struct LoadStack *stack)
{
	struct LFIBoxInfo info = lfi_box_info(box);
	struct BoxMapping lowest;
	lfiptr start = info.min;

	if (!box_mapping(box, start, &lowest) || lowest.addr - start != size + LOAD_PAGE)
		return false;
	if (lfi_box_mapat(box, start, size, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1,
		0) == (lfiptr) -1)
		return false;
	*stack = (struct LoadStack){
	    .start = start - STACK_GUARD, .size = size + STACK_GUARD, .sp = start + size, .low = true};
	return true;
}

void
load_stack_unmap(struct LFIBox *box, const struct LoadStack *stack)
{
	size_t guard = stack->low ? STACK_GUARD : 0;

	lfi_box_munmap(box, stack->start + guard, stack->size - guard);
}

int
load_stack_map(struct LFIBox *box, size_t size, struct LoadStack *stack)
{
	uint64_t rounded, whole;
	lfiptr start;

	if (size < STACK_MIN || !checked_align_up(size, LOAD_PAGE, &rounded) ||
	    !checked_add(rounded, STACK_GUARD, &whole))
		return error_set(LFI_ERR_INVALID, "a stack of %zu bytes: at least %d are needed", size, STACK_MIN);
	if (map_low(box, rounded, stack))
		return 0;
	start = lfi_box_mapany(box, whole, LFI_PROT_NONE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	if (start == (lfiptr) -1)
		return error_prefix("stack of %zu bytes: ", size);
	start = box_full_address(box, start);
	if (lfi_box_mprotect(box, start + STACK_GUARD, rounded, LFI_PROT_READ | LFI_PROT_WRITE) < 0) {
		lfi_box_munmap(box, start, whole);
		return error_prefix("stack of %zu bytes: ", size);
	}
	*stack = (struct LoadStack){.start = start, .size = whole, .sp = start + whole};
	return 0;
}

bool
load_stack_guards(const struct LoadStack *stack, lfiptr address)
{
	return stack->size && range_within(address, 1, stack->start, stack->start + STACK_GUARD);
}

static void
put_word(struct Block *block, uint64_t word)
{
	memcpy(block->bytes + block->word, &word, sizeof word);
	block->word += sizeof word;
}

/* The address that the bytes will have for the program. */
static lfiptr
put_bytes(struct Block *block, const void *bytes, size_t size)
{
	lfiptr address = block->handed + block->string;

	memcpy(block->bytes + block->string, bytes, size);
	block->string += size;
	return address;
}

static lfiptr
put_string(struct Block *block, const char *string)
{
	return put_bytes(block, string, strlen(string) + 1);
}

static size_t
count_strings(const char *const *strings)
{
	size_t count = 0;

	while (strings && strings[count])
		count++;
	return count;
}

static size_t
strings_size(const char *const *strings, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += strlen(strings[i]) + 1;
	return size;
}

struct AuxEntry {
	uint64_t type;
	uint64_t value;
};

enum { AUX_ENTRIES = 18 };

static void
put_auxv(struct Block *block, const struct LoadImage *image, lfiptr random, lfiptr execfn)
{
	lfiptr less = block->sp - block->handed;
	uid_t uid = getuid();
	gid_t gid = getgid();
	const struct AuxEntry entries[AUX_ENTRIES] = {
	    {AT_PHDR, image->phdr ? image->phdr - less : 0},
	    {AT_PHENT, sizeof(Elf64_Phdr)},
	    {AT_PHNUM, image->phdr ? image->phnum : 0},
	    {AT_PAGESZ, LOAD_PAGE},
	    {AT_BASE, 0},
	    {AT_FLAGS, 0},
	    {AT_ENTRY, image->entry - less},
	    {AT_UID, uid},
	    {AT_EUID, uid},
	    {AT_GID, gid},
	    {AT_EGID, gid},
	    {AT_SECURE, 0},
	    {AT_HWCAP, getauxval(AT_HWCAP)},
	    {AT_CLKTCK, 100},
	    {AT_MINSIGSTKSZ, getauxval(AT_MINSIGSTKSZ)},
	    {AT_RANDOM, random},
	    {AT_EXECFN, execfn},
	    {AT_NULL, 0},
	};

	for (size_t i = 0; i < AUX_ENTRIES; i++) {
		put_word(block, entries[i].type);
		put_word(block, entries[i].value);
	}
}

static void
fill_block(struct Block *block, const struct LoadImage *image, const struct LoadArgs *args, size_t envc,
    const unsigned char *random_bytes)
{
	lfiptr random = put_bytes(block, random_bytes, RANDOM_BYTES);
	lfiptr execfn = put_string(block, args->execfn);

	put_word(block, (uint64_t) args->argc);
	for (int i = 0; i < args->argc; i++)
		put_word(block, put_string(block, args->argv[i]));
	put_word(block, 0);
	for (size_t i = 0; i < envc; i++)
		put_word(block, put_string(block, args->envp[i]));
	put_word(block, 0);
	put_auxv(block, image, random, execfn);
}

int
load_stack_fill(struct LFIBox *box, const struct LoadImage *image, const struct LoadArgs *args, struct LoadStack *stack)
{
	size_t argc = (size_t) args->argc, envc = count_strings(args->envp);
	size_t words = 1 + argc + 1 + envc + 1 + 2 * AUX_ENTRIES;
	size_t size = words * sizeof(uint64_t) + RANDOM_BYTES + strlen(args->execfn) + 1 +
		      strings_size(args->argv, argc) + strings_size(args->envp, envc);
	unsigned char random_bytes[RANDOM_BYTES];
	struct Block block;
	int result;

	if (size > (stack->size - STACK_GUARD) / 4)
		return error_set(LFI_ERR_INVALID,
		    "arguments and environment take %zu bytes, more than a quarter of the stack (%zu)", size,
		    stack->size - STACK_GUARD);
	if (getrandom(random_bytes, sizeof random_bytes, 0) != sizeof random_bytes)
		return error_set(LFI_ERR_OS, "no random bytes for the program");
	block = (struct Block){
	    .size = size, .sp = align_down(stack->sp - size, STACK_ALIGN), .string = words * sizeof(uint64_t)};
	block.handed = box_handed_address(box, block.sp);
	block.bytes = malloc(size);
	if (!block.bytes)
		return error_set(LFI_ERR_NOMEM, "no memory for %zu bytes of arguments", size);
	fill_block(&block, image, args, envc, random_bytes);
	result = lfi_box_copyto(box, block.sp, block.bytes, size);
	free(block.bytes);
	if (result == 0)
		stack->sp = block.sp;
	return result;
}
