/* SPDX-License-Identifier: MIT */
/*
 * Any bytes into the verifier. The first byte chooses the options, the rest is code. Beyond not crashing: what full
 * sandboxing accepts, the weaker policies accept too, and nobody listening changes no verdict.
 */
#include <lfi/lfi_verify.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CODE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
listen(const struct LFIViolation *violation, void *user)
{
	size_t *bytes = user;

	*bytes += strlen(violation->insn) + strlen(violation->reason);
	if (violation->size > 15)
		abort();
	return true;
}

static int
verify(struct LFIVerifyOptions options, const uint8_t *code, size_t size, LFIViolationFn fn, void *user)
{
	static uint64_t scratch[2 * MAX_CODE / 64];
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	int result = lfi_verify(&options, code, size, 0x100000, scratch, sizeof scratch, fn, user, &report);

	if ((result == 0) != (report.violations == 0))
		abort();
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct LFIVerifyOptions options = {.struct_size = sizeof options};
	uint8_t *code;
	size_t code_size, heard = 0;
	int full;

	if (size < 2 || size > MAX_CODE)
		return 0;
	options.bundle = data[0] & 1 ? 16 : 32;
	options.single_thread = data[0] & 2;
	options.no_rdtsc = data[0] & 4;
	code_size = (size - 1 + 31) / 32 * 32;
	code = malloc(code_size); /* of exactly this size, so that reading past it is seen */
	if (!code)
		return 0;
	memset(code, 0xcc, code_size);
	memcpy(code, data + 1, size - 1);
	full = verify(options, code, code_size, NULL, NULL);
	options.max_violations = 64;
	if (verify(options, code, code_size, listen, &heard) != full)
		abort();
	options.policy = LFI_POLICY_STORES;
	if (verify(options, code, code_size, NULL, NULL) && !full)
		abort();
	options.policy = LFI_POLICY_JUMPS;
	if (verify(options, code, code_size, NULL, NULL) && !full)
		abort();
	free(code);
	return 0;
}
