/* SPDX-License-Identifier: MIT */
/*
 * The verifier as a library: machine code in, verdict out.
 *
 * It allocates nothing, does no input or output, keeps no state and may be
 * called from any thread, also from several at once: for different regions,
 * and for the parts of one (lfi_verify_part). The verdict depends on
 * the bytes, the offset and the options only. The rules are those of
 * docs/scheme-x64.md; what is not on its allow-list is refused.
 */
#ifndef LFI_VERIFY_H
#define LFI_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lfi_version.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What the code is confined in. */
enum LFIPolicy {
	LFI_POLICY_FULL = 0,   /**< loads, stores and control flow */
	LFI_POLICY_STORES = 1, /**< stores and control flow; loads may read anything */
	LFI_POLICY_JUMPS = 2,  /**< control flow only; needs another memory protection */
};

/** How to verify. Zero-initialise; new members come at the end and mean the old behaviour when 0. */
struct LFIVerifyOptions {
	size_t struct_size;    /**< sizeof(struct LFIVerifyOptions) */
	int policy;            /**< enum LFIPolicy */
	unsigned bundle;       /**< 32 or 16 bytes; 0 means 32 */
	bool single_thread;    /**< accept the single-thread return (scheme section 8) */
	bool no_rdtsc;         /**< refuse rdtsc and rdtscp */
	size_t max_violations; /**< stop after so many; 0 means 1 */
};

/** The rule that an instruction breaks: section of the scheme, and which part of it. */
enum LFIRule {
	LFI_RULE_NONE = 0,
	LFI_RULE_DECODE,      /**< 6: not an instruction, or cut off at the region's end */
	LFI_RULE_INSTRUCTION, /**< 6: not on the allow-list */
	LFI_RULE_PREFIX,      /**< 6: prefix not allowed here */
	LFI_RULE_BUNDLE,      /**< 1: instruction or group crosses a bundle's edge */
	LFI_RULE_REGISTER,    /**< 2: writes a protected register */
	LFI_RULE_DIRECT,      /**< 3.1: direct branch to a bad place */
	LFI_RULE_INDIRECT,    /**< 3.2: indirect branch outside a group */
	LFI_RULE_RETURN,      /**< 3.3, 8: return outside its group */
	LFI_RULE_RTCALL,      /**< 3: malformed runtime call */
	LFI_RULE_MEMORY,      /**< 4: memory operand is not sandboxed */
	LFI_RULE_IMPLICIT,    /**< 4: implicit memory operand outside its group */
	LFI_RULE_BITTEST,     /**< 4: bit test of memory with a register index */
	LFI_RULE_STACK,       /**< 5: stack pointer set or moved in a way that is not allowed */
	LFI_RULE_DRIFT,       /**< 5: too much drift, or a jump, runtime call or end of region while it is pending */
	LFI_RULE_CONTEXT,     /**< 7: access to the context block */
	LFI_RULE_ARGUMENT,    /**< no code was looked at: bad options, size, offset or scratch */
};

/** What the code was seen to do, so that a runtime pays only for what is used. */
enum LFICodeFlags {
	LFI_CODE_AVX = 1 << 0,       /**< writes upper halves of vector registers (VEX or EVEX) */
	LFI_CODE_AVX512 = 1 << 1,    /**< uses EVEX: zmm, xmm16-31 or mask registers */
	LFI_CODE_X87 = 1 << 2,       /**< x87 or MMX */
	LFI_CODE_FPCONTROL = 1 << 3, /**< writes MXCSR or the x87 control word */
	LFI_CODE_DIRECTION = 1 << 4, /**< sets the direction flag */
	LFI_CODE_ST_RETURN = 1 << 5, /**< contains single-thread returns */
};

/** Processor features that code may need beyond x86-64-v1: bits of LFIVerifyReport.cpu. */
enum LFICpuFeature {
	LFI_CPU_SSE3,
	LFI_CPU_SSSE3,
	LFI_CPU_SSE41,
	LFI_CPU_SSE42,
	LFI_CPU_POPCNT,
	LFI_CPU_LZCNT,
	LFI_CPU_CX16,
	LFI_CPU_MOVBE,
	LFI_CPU_LAHF,
	LFI_CPU_AES,
	LFI_CPU_PCLMUL,
	LFI_CPU_SHA,
	LFI_CPU_GFNI,
	LFI_CPU_RDRAND,
	LFI_CPU_RDSEED,
	LFI_CPU_ADX,
	LFI_CPU_BMI1,
	LFI_CPU_BMI2,
	LFI_CPU_F16C,
	LFI_CPU_FMA,
	LFI_CPU_AVX,
	LFI_CPU_AVX2,
	LFI_CPU_VAES,
	LFI_CPU_VPCLMUL,
	LFI_CPU_AVX_VNNI,
	LFI_CPU_RDTSCP,
	LFI_CPU_AVX512F,
	LFI_CPU_AVX512BW,
	LFI_CPU_AVX512DQ,
	LFI_CPU_AVX512VL,
	LFI_CPU_AVX512CD,
	LFI_CPU_AVX512_VNNI,
	LFI_CPU_AVX512_VBMI,
	LFI_CPU_AVX512_VBMI2,
	LFI_CPU_AVX512_IFMA,
	LFI_CPU_AVX512_BITALG,
	LFI_CPU_AVX512_VPOPCNTDQ,
	LFI_CPU_AVX512_BF16,
	LFI_CPU_AVX512_FP16,
	LFI_CPU_COUNT,
};

/** One broken rule. Valid during the callback only. */
struct LFIViolation {
	size_t offset;      /**< of the instruction, in bytes from the region's start */
	size_t size;        /**< of the instruction as far as it was decoded, 0 to 15 */
	int rule;           /**< enum LFIRule */
	const char *insn;   /**< disassembly-like text, for example "mov (%rax), %rax" */
	const char *reason; /**< one clause, for example "memory operand is not sandboxed" */
};

/** Called per violation, in the order in which they are found. Returning false stops the verification. */
typedef bool (*LFIViolationFn)(const struct LFIViolation *violation, void *user);

/** What was seen. Meaningful when the code was accepted. */
struct LFIVerifyReport {
	size_t struct_size; /**< set by the caller: sizeof(struct LFIVerifyReport) */
	uint32_t code;      /**< enum LFICodeFlags */
	uint64_t cpu;       /**< 1 << enum LFICpuFeature */
	size_t instructions;
	size_t violations;
};

/** Bytes of scratch memory that lfi_verify needs for a region of `size` bytes: 2 bits per byte, rounded up. */
LFI_API size_t lfi_verify_scratch_size(size_t size);

/**
 * Verify one region.
 *
 * @param opts    NULL means the defaults
 * @param code    `size` bytes; they must not change during the call
 * @param size    bytes, a multiple of the bundle size, at most 4 GiB
 * @param offset  where the region will be, in bytes from the sandbox's base; bundle-aligned
 * @param scratch lfi_verify_scratch_size(size) bytes, 8-byte aligned; contents in and out are meaningless
 * @param fn      may be NULL
 * @param report  may be NULL
 * @return 0 accepted, 1 refused (also for bad arguments: LFI_RULE_ARGUMENT)
 */
LFI_API int lfi_verify(const struct LFIVerifyOptions *opts, const void *code, size_t size, uint64_t offset,
    void *scratch, size_t scratch_size, LFIViolationFn fn, void *user, struct LFIVerifyReport *report);

/** At most so many parts of a region. */
#define LFI_VERIFY_PARTS_MAX 4096

/** What lfi_verify_part found out about a part, for lfi_verify_finish. */
struct LFIVerifyPart {
	uint64_t opaque[16];
};

/**
 * Verify one of `count` parts of a region that are about the same size. Several threads of the caller's may do so at
 * the same time, each with another part of the region, all with the same options, region and scratch memory. Then
 * lfi_verify_finish gives the verdict:
 *
 *     struct LFIVerifyPart parts[2];
 *
 *     one thread:   lfi_verify_part(&opts, code, size, offset, scratch, scratch_size, 0, 2, &parts[0]);
 *     another:      lfi_verify_part(&opts, code, size, offset, scratch, scratch_size, 1, 2, &parts[1]);
 *     after both:   lfi_verify_finish(&opts, code, size, offset, scratch, scratch_size, parts, 2, fn, user, &report);
 *
 * Each part takes its share of the time that lfi_verify needs. Regions of less than some 100 KiB are not worth it.
 *
 * @param scratch as for lfi_verify, and the same for all parts; nobody else may touch it until lfi_verify_finish
 *                has returned, nor may the code change
 * @param number  of the part, 0 to count - 1
 * @param count   1 to LFI_VERIFY_PARTS_MAX
 * @param result  written; to be kept until lfi_verify_finish
 * @return 0 nothing is wrong with the part by itself; 1 something may be, or an argument is bad: other parts need not
 *         be looked at, lfi_verify_finish will say why
 */
LFI_API int lfi_verify_part(const struct LFIVerifyOptions *opts, const void *code, size_t size, uint64_t offset,
    void *scratch, size_t scratch_size, size_t number, size_t count, struct LFIVerifyPart *result);

/**
 * The verdict on a region whose parts were verified: that of lfi_verify, with the same violations and report. If one of
 * the parts was not good, is missing, or is not of this region, options and scratch memory, that is because it calls
 * lfi_verify. Else it takes the time to look at what leads from one part to another, which is a few per cent of that.
 *
 * @param parts  the results of lfi_verify_part for 0 to count - 1, in this order, which other threads have finished
 *               writing (they were joined, say)
 * @return 0 accepted, 1 refused (also for bad arguments: LFI_RULE_ARGUMENT)
 */
LFI_API int lfi_verify_finish(const struct LFIVerifyOptions *opts, const void *code, size_t size, uint64_t offset,
    void *scratch, size_t scratch_size, const struct LFIVerifyPart *parts, size_t count, LFIViolationFn fn, void *user,
    struct LFIVerifyReport *report);

/** Name of a rule as used in messages, for example "memory"; "unknown" for other numbers. */
LFI_API const char *lfi_verify_rule_name(int rule);

/** Name of a processor feature, for example "avx2"; "unknown" for other numbers. */
LFI_API const char *lfi_cpu_feature_name(int feature);

#ifdef __cplusplus
}
#endif

#endif
