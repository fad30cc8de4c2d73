/* SPDX-License-Identifier: MIT */
/*
 * The rewriter as a library: a compiler's assembly in, confined assembly out.
 *
 * It is not trusted: what it gets wrong, the verifier refuses. Calls keep no
 * state between them and may be made from several threads at once.
 */
#ifndef LFI_REWRITE_H
#define LFI_REWRITE_H

#include <stdbool.h>
#include <stddef.h>

#include <lfi/lfi_verify.h>
#include <lfi/lfi_version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How to rewrite. Zero-initialise; new members come at the end. */
struct LFIRewriteOptions {
	size_t struct_size;   /**< sizeof(struct LFIRewriteOptions) */
	int policy;           /**< enum LFIPolicy */
	unsigned bundle;      /**< 32 or 16 bytes; 0 means 32 */
	bool single_thread;   /**< single-thread returns (scheme section 8) */
	bool no_segue;        /**< memory operands through r14 instead of gs */
	bool no_guard_elim;   /**< guard each move of the stack pointer */
	bool low_table;       /**< runtime calls through the copy of the table in the first page */
	bool rename_reserved; /**< give another free register to each function that uses r14 or r15 (for clang, which
				 cannot reserve them) */
	const char *file;     /**< name for messages; NULL means "<input>" */
	bool poc; /**< position-oblivious: registers and memory hold lower halves of addresses; LFI_POLICY_FULL only */
};

/** One construct that cannot be confined. Valid during the callback only. */
struct LFIDiagnostic {
	const char *file;
	unsigned line;       /**< from 1 */
	unsigned column;     /**< from 1; 0 when the line as a whole is meant */
	const char *text;    /**< the source line, without its newline */
	const char *message; /**< one clause */
};

typedef void (*LFIDiagnosticFn)(const struct LFIDiagnostic *diagnostic, void *user);

/**
 * Rewrite one file of AT&T assembly.
 *
 * @param input  `size` bytes of text; need not end in a NUL
 * @param output set to a NUL-terminated text that lfi_rewrite_free frees; NULL on error
 * @return 0, or -1: LFI_ERR_INVALID (options), LFI_ERR_NOMEM, LFI_ERR_REWRITE (each construct was reported to `fn`)
 */
LFI_API int lfi_rewrite(const struct LFIRewriteOptions *opts, const char *input, size_t size, char **output,
    size_t *output_size, LFIDiagnosticFn fn, void *user);

/**
 * Placing confined code exactly makes it smaller and faster than what the assembler's own padding gives. First step:
 * from the text that lfi_rewrite made, a text that is only to be assembled (with GNU as), so that its object file
 * tells the size of each instruction.
 *
 * @return 0, or -1: LFI_ERR_NOMEM; `output` as in lfi_rewrite
 */
LFI_API int lfi_rewrite_measure(const char *confined, size_t size, char **output, size_t *output_size);

/**
 * Second step: the confined text with its padding written out, to be assembled into the final object file.
 *
 * @param opts     as they were for lfi_rewrite
 * @param confined as it was for lfi_rewrite_measure
 * @param object   `object_size` bytes: the object file made of the first step's text; 8-byte aligned
 * @return 0, or -1: LFI_ERR_INVALID (the object file does not belong to the text), LFI_ERR_NOMEM
 */
LFI_API int lfi_rewrite_layout(const struct LFIRewriteOptions *opts, const char *confined, size_t size,
    const void *object, size_t object_size, char **output, size_t *output_size);

/** Free what these functions made. NULL is fine. */
LFI_API void lfi_rewrite_free(char *output);

#ifdef __cplusplus
}
#endif

#endif
