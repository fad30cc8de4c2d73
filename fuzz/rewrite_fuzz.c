/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: any text goes through the rewriter without a crash. The
 * first byte chooses the options. Built with -fsanitize=fuzzer,address,undefined
 * from lib/rewrite, lib/rewrite/x64 and lib/base.
 */
#include <lfi/lfi_rewrite.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct LFIRewriteOptions opts = {.struct_size = sizeof opts};
	char *output;

	if (size == 0)
		return 0;
	opts.poc = (data[0] & 3) == 3;
	opts.policy = opts.poc ? LFI_POLICY_FULL : data[0] & 3;
	opts.bundle = data[0] & 4 ? 16 : 32;
	opts.single_thread = data[0] & 8;
	opts.no_segue = data[0] & 16;
	opts.no_guard_elim = data[0] & 32;
	opts.low_table = data[0] & 64;
	opts.rename_reserved = data[0] & 128;
	if (lfi_rewrite(&opts, (const char *) data + 1, size - 1, &output, NULL, NULL, NULL) == 0)
		lfi_rewrite_free(output);
	return 0;
}
