/* SPDX-License-Identifier: MIT */
/*
 * A program without a C library: liblfi-verify.a, the four functions that a freestanding compiler may ask for, and an
 * entry. Exit status 0: the verifier said what it should.
 */
#include <lfi/lfi_verify.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

void *
memcpy(void *restrict to, const void *restrict from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile char *) to)[i] = ((const char *) from)[i];
	return to;
}

void *
memmove(void *to, const void *from, size_t size)
{
	if ((uintptr_t) to <= (uintptr_t) from)
		return memcpy(to, from, size);
	while (size-- > 0)
		((volatile char *) to)[size] = ((const char *) from)[size];
	return to;
}

void *
memset(void *to, int value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile char *) to)[i] = (char) value;
	return to;
}

int
memcmp(const void *a, const void *b, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const unsigned char *) a)[i] != ((const unsigned char *) b)[i])
			return ((const unsigned char *) a)[i] < ((const unsigned char *) b)[i] ? -1 : 1;
	return 0;
}

static int rule;

static bool
take_rule(const struct LFIViolation *violation, void *user)
{
	rule = violation->rule;
	return false;
}

static int
verdict(const unsigned char *code, size_t size, uint64_t offset)
{
	static uint64_t scratch[2 * 4096 / 64];

	rule = LFI_RULE_NONE;
	if (lfi_verify(NULL, code, size, offset, scratch, sizeof scratch, take_rule, NULL, NULL) !=
	    (rule != LFI_RULE_NONE))
		return -1;
	return rule;
}

static int
verdict_in_parts(const unsigned char *code, size_t size)
{
	static uint64_t scratch[2 * 4096 / 64];
	struct LFIVerifyPart parts[3];

	for (size_t i = 0; i < 3; i++)
		lfi_verify_part(NULL, code, size, 0x100000, scratch, sizeof scratch, i, 3, &parts[i]);
	return lfi_verify_finish(NULL, code, size, 0x100000, scratch, sizeof scratch, parts, 3, NULL, NULL, NULL);
}

static int
test(void)
{
	static unsigned char code[4096];

	memset(code, 0x90, sizeof code);
	if (verdict(code, sizeof code, 0x100000) != LFI_RULE_NONE)
		return 1;
	if (verdict(code, sizeof code, 0x100001) != LFI_RULE_ARGUMENT)
		return 2;
	code[100] = 0xc3;
	if (verdict(code, sizeof code, 0x100000) != LFI_RULE_RETURN)
		return 3;
	memcpy(code + 100, "\x8b\x07\x90", 3);
	if (verdict(code, sizeof code, 0x100000) != LFI_RULE_MEMORY)
		return 4;
	if (!verdict_in_parts(code, sizeof code))
		return 5;
	memset(code, 0x90, sizeof code);
	if (verdict_in_parts(code, sizeof code))
		return 6;
	return lfi_verify_rule_name(LFI_RULE_MEMORY)[0] != 'm' || lfi_cpu_feature_name(0)[0] != 's';
}

__attribute__((noreturn, force_align_arg_pointer)) void _start(void);

void
_start(void)
{
	__asm__ volatile("syscall" : : "a"(231), "D"(test()) : "rcx", "r11", "memory"); /* exit_group */
	__builtin_unreachable();
}
