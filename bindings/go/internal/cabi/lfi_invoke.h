/* SPDX-License-Identifier: MIT */
/*
 * LFI_INVOKE, for C and C++ with gcc's extensions. Included by lfi_core.h; not for direct use.
 *
 * What the sandbox gets is the arguments and nothing else of the host's: integers are widened to 64 bits and floats
 * padded, so that registers and stack words are written in full; the trampoline is told how many registers and
 * which stack words hold arguments.
 */
#ifndef LFI_INVOKE_H
#define LFI_INVOKE_H

/**
 * Call a function of the sandbox as if it were the host's:
 *
 *     int sum = LFI_INVOKE(box, &ctx, fn, int, (int, int), 10, 32);
 *
 * @param box    struct LFIBox *, after lfi_box_init_ret
 * @param ctx    struct LFIContext **; where it holds NULL, a context is made with the engine's clone callback
 * @param target lfiptr
 * @param ret    void, an integer, a bool (any value but 0 is true), a pointer, float, double or long double
 * @param params in parentheses: (), (void), or up to 16 integers, pointers, floats, doubles and long doubles (a
 * function with variable arguments is called with the types that this call passes). A struct by value does not compile:
 * see lfi_call
 * @return what the function returns, with lfi_errno() LFI_OK; 0 when the call failed, with lfi_errno() the reason
 */

/** How many registers and stack words the psABI takes for the parameters so far. */
struct LFIInvokeArgs {
	uint32_t ints, floats;
	size_t stack;        /**< bytes */
	uint64_t stack_skip; /**< as in struct LFIInvokeInfo */
	uint64_t stack_tail;
	uint32_t ret; /**< 0, or LFI_INVOKE_X87 for a long double */
};

enum { LFI_INVOKE_INT = 1, LFI_INVOKE_FLOAT = 2, LFI_INVOKE_LONG_DOUBLE = 3 };

/* Of an expression, from its gcc type class (1 integer, 2 char, 3 enum, 4 bool, 5 pointer, 8 real) and size. */
#define LFI_INVOKE_KIND(class_, size_)                                                      \
	((class_) >= 1 && (class_) <= 5 && (size_) <= 8            ? LFI_INVOKE_INT         \
	    : (class_) == 8 && ((size_) == 4 || (size_) == 8)      ? LFI_INVOKE_FLOAT       \
	    : (class_) == 8 && (size_) == 16 && LFI_INVOKE_REAL_16 ? LFI_INVOKE_LONG_DOUBLE \
								   : 0)
#define LFI_INVOKE_REAL_16 (sizeof(long double) == 16)

static inline __attribute__((always_inline)) void
lfi_invoke_add(struct LFIInvokeArgs *args, int kind)
{
	if (kind == LFI_INVOKE_INT && args->ints < 6) {
		args->ints++;
	} else if (kind == LFI_INVOKE_FLOAT && args->floats < 8) {
		args->floats++;
	} else if (kind != LFI_INVOKE_LONG_DOUBLE) {
		args->stack += 8;
	} else {
		/* 10 bytes in 16, aligned. */
		if (args->stack % 16) {
			args->stack_skip |= (uint64_t) 1 << args->stack / 8;
			args->stack += 8;
		}
		args->stack_tail |= (uint64_t) 1 << (args->stack / 8 + 1);
		args->stack += 16;
	}
}

/* A float as what a vector register or a stack word then holds: its bits and zeros. */
static inline __attribute__((always_inline)) double
lfi_invoke_pad(const void *value)
{
	double padded = 0;

	__builtin_memcpy(&padded, value, 4);
	return padded;
}

static inline __attribute__((always_inline)) void
lfi_invoke_set(struct LFIBox *box, struct LFIContext **ctx, lfiptr target, const struct LFIInvokeArgs *args)
{
	lfi_invoke_info.box = box;
	/* Not in one store with the box, for which compilers take a way through vector registers: 1 ns. */
	*(struct LFIContext * *volatile *) &lfi_invoke_info.ctx = ctx;
	lfi_invoke_info.target = target;
	lfi_invoke_info.stack_bytes = args->stack;
	lfi_invoke_info.arg_regs = LFI_INVOKE_COUNTED | args->ret | args->ints | args->floats << 8;
	lfi_invoke_info.stack_skip = args->stack_skip;
	lfi_invoke_info.stack_tail = args->stack_tail;
}

#define LFI_INVOKE_JOIN(a_, b_) LFI_INVOKE_JOIN_(a_, b_)
#define LFI_INVOKE_JOIN_(a_, b_) a_##b_
#define LFI_INVOKE_18TH(a_, b_, c_, d_, e_, f_, g_, h_, i_, j_, k_, l_, m_, n_, o_, p_, q_, r_, ...) r_

/* How many arguments follow the parameter list, 0 to 16; and whether any does: 0 or N. */
#define LFI_INVOKE_COUNT(...) LFI_INVOKE_18TH(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0)
#define LFI_INVOKE_SOME(...) LFI_INVOKE_18TH(__VA_ARGS__, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, 0, 0)

#ifdef __cplusplus

namespace lfi_invoke {

template <class T> struct Type {
	static T &value();
	enum { cls = __builtin_classify_type(value()), kind = LFI_INVOKE_KIND((int) cls, sizeof(T)) };
	static_assert((int) kind != 0, "LFI_INVOKE takes integers, pointers, float, double and long double");
};

/* How a value of T is passed: integers that are no pointers as long, floats padded, the rest as they are. */
template <class T, int How = (int) Type<T>::kind == LFI_INVOKE_INT && (int) Type<T>::cls != 5 ? 1
			     : (int) Type<T>::kind == LFI_INVOKE_FLOAT && sizeof(T) == 4      ? 2
											      : 0>
struct Pass {
	typedef T type;
	static type value(T x)
	{
		return x;
	}
};
template <class T> struct Pass<T, 1> {
	typedef long type;
	static type value(T x)
	{
		return (long) x;
	}
};
template <class T> struct Pass<T, 2> {
	typedef double type;
	static type value(T x)
	{
		return lfi_invoke_pad(&x);
	}
};

/* What the function is called as returning; a bool is hostile: what is neither 0 nor 1 must not be one. */
template <class R> struct Result {
	typedef R type;
	enum { flag = (int) Type<R>::kind == LFI_INVOKE_LONG_DOUBLE ? LFI_INVOKE_X87 : 0 };
};
template <> struct Result<bool> {
	typedef unsigned char type;
	enum { flag = 0 };
};
template <> struct Result<void> {
	typedef void type;
	enum { flag = 0 };
};

template <class Fn> struct Call;
template <class R, class... A> struct Call<R(A...)> : Result<R> {
	static inline R call(struct LFIBox *box, struct LFIContext **ctx, lfiptr target, A... a)
	{
		struct LFIInvokeArgs args = {0, 0, 0, 0, 0, (uint32_t) Result<R>::flag};
		const int kinds[] = {0, (int) Type<A>::kind...};

		for (size_t i = 1; i <= sizeof...(A); i++)
			lfi_invoke_add(&args, kinds[i]);
		lfi_invoke_set(box, ctx, target, &args);
		return static_cast<R>(reinterpret_cast<typename Result<R>::type (*)(typename Pass<A>::type...)>(
		    lfi_trampoline_addr)(Pass<A>::value(a)...));
	}
};

} /* namespace lfi_invoke */

#define LFI_INVOKE(box_, ctx_, target_, ret_, ...) \
	LFI_INVOKE_JOIN(LFI_INVOKE_CXX_, LFI_INVOKE_SOME(__VA_ARGS__))(ret_, box_, ctx_, target_, __VA_ARGS__)
#define LFI_INVOKE_CXX_0(ret_, box_, ctx_, target_, params_) \
	(::lfi_invoke::Call<ret_ params_>::call((box_), (ctx_), (target_)))
#define LFI_INVOKE_CXX_N(ret_, box_, ctx_, target_, params_, ...) \
	(::lfi_invoke::Call<ret_ params_>::call((box_), (ctx_), (target_), __VA_ARGS__))

#else /* C */

/* A value of a type; of int when it is void. Never evaluated. */
#define LFI_INVOKE_NOT_VOID(type_) \
	(*__builtin_choose_expr(__builtin_types_compatible_p(type_, void), (int *) 0, (__typeof__(type_) *) 0))
#define LFI_INVOKE_CLASS(type_) __builtin_classify_type(LFI_INVOKE_NOT_VOID(type_))
#define LFI_INVOKE_KIND_OF(type_) \
	LFI_INVOKE_KIND(LFI_INVOKE_CLASS(type_), sizeof(__typeof__(LFI_INVOKE_NOT_VOID(type_))))

/* What the function is called as returning; a bool is hostile: what is neither 0 nor 1 must not be one. */
#define LFI_INVOKE_CARRIER(ret_)           \
	__typeof__(*__builtin_choose_expr( \
	    __builtin_types_compatible_p(ret_, _Bool), (unsigned char *) 0, (__typeof__(ret_) *) 0))

#define LFI_INVOKE_ADD(type_)                                                                                      \
	_Static_assert(                                                                                            \
	    LFI_INVOKE_KIND_OF(type_) != 0, "LFI_INVOKE takes integers, pointers, float, double and long double"); \
	lfi_invoke_add(&lfi_args_, LFI_INVOKE_KIND_OF(type_));

#define LFI_INVOKE_PASS(arg_)                                                                                    \
	__builtin_choose_expr(                                                                                   \
	    LFI_INVOKE_KIND_OF(__typeof__(arg_)) == LFI_INVOKE_INT && LFI_INVOKE_CLASS(__typeof__(arg_)) != 5,   \
	    (long) (arg_),                                                                                       \
	    __builtin_choose_expr(LFI_INVOKE_KIND_OF(__typeof__(arg_)) == LFI_INVOKE_FLOAT && sizeof(arg_) == 4, \
		lfi_invoke_pad(&(arg_)), (arg_)))

#define LFI_INVOKE(box_, ctx_, target_, ret_, ...) \
	LFI_INVOKE_C(LFI_INVOKE_COUNT(__VA_ARGS__), box_, ctx_, target_, ret_, __VA_ARGS__)
#define LFI_INVOKE_C(n_, box_, ctx_, target_, ret_, ...)                                                     \
	__extension__({                                                                                      \
		_Static_assert(LFI_INVOKE_KIND_OF(ret_) != 0,                                                \
		    "LFI_INVOKE returns void, integers, pointers, float, double and long double");           \
		struct LFIInvokeArgs lfi_args_ = {                                                           \
		    0, 0, 0, 0, 0, LFI_INVOKE_KIND_OF(ret_) == LFI_INVOKE_LONG_DOUBLE ? LFI_INVOKE_X87 : 0}; \
		struct LFIBox *lfi_box_ = (box_);                                                            \
		struct LFIContext **lfi_ctx_ = (ctx_);                                                       \
		lfiptr lfi_target_ = (target_);                                                              \
		LFI_INVOKE_JOIN(LFI_INVOKE_TAKE_, n_)                                                        \
		(__VA_ARGS__) lfi_invoke_set(lfi_box_, lfi_ctx_, lfi_target_, &lfi_args_);                   \
		LFI_INVOKE_JOIN(LFI_INVOKE_CALL_, n_)(ret_);                                                 \
	})

/* One line per number of arguments, last parameter first in the numbering. */
#define LFI_INVOKE_TYPES_1(x_) typedef __typeof__(x_) lfi_type_1_;
#define LFI_INVOKE_TYPES_2(x_, ...)         \
	typedef __typeof__(x_) lfi_type_2_; \
	LFI_INVOKE_TYPES_1(__VA_ARGS__)
#define LFI_INVOKE_TYPES_3(x_, ...)         \
	typedef __typeof__(x_) lfi_type_3_; \
	LFI_INVOKE_TYPES_2(__VA_ARGS__)
#define LFI_INVOKE_TYPES_4(x_, ...)         \
	typedef __typeof__(x_) lfi_type_4_; \
	LFI_INVOKE_TYPES_3(__VA_ARGS__)
#define LFI_INVOKE_TYPES_5(x_, ...)         \
	typedef __typeof__(x_) lfi_type_5_; \
	LFI_INVOKE_TYPES_4(__VA_ARGS__)
#define LFI_INVOKE_TYPES_6(x_, ...)         \
	typedef __typeof__(x_) lfi_type_6_; \
	LFI_INVOKE_TYPES_5(__VA_ARGS__)
#define LFI_INVOKE_TYPES_7(x_, ...)         \
	typedef __typeof__(x_) lfi_type_7_; \
	LFI_INVOKE_TYPES_6(__VA_ARGS__)
#define LFI_INVOKE_TYPES_8(x_, ...)         \
	typedef __typeof__(x_) lfi_type_8_; \
	LFI_INVOKE_TYPES_7(__VA_ARGS__)
#define LFI_INVOKE_TYPES_9(x_, ...)         \
	typedef __typeof__(x_) lfi_type_9_; \
	LFI_INVOKE_TYPES_8(__VA_ARGS__)
#define LFI_INVOKE_TYPES_10(x_, ...)         \
	typedef __typeof__(x_) lfi_type_10_; \
	LFI_INVOKE_TYPES_9(__VA_ARGS__)
#define LFI_INVOKE_TYPES_11(x_, ...)         \
	typedef __typeof__(x_) lfi_type_11_; \
	LFI_INVOKE_TYPES_10(__VA_ARGS__)
#define LFI_INVOKE_TYPES_12(x_, ...)         \
	typedef __typeof__(x_) lfi_type_12_; \
	LFI_INVOKE_TYPES_11(__VA_ARGS__)
#define LFI_INVOKE_TYPES_13(x_, ...)         \
	typedef __typeof__(x_) lfi_type_13_; \
	LFI_INVOKE_TYPES_12(__VA_ARGS__)
#define LFI_INVOKE_TYPES_14(x_, ...)         \
	typedef __typeof__(x_) lfi_type_14_; \
	LFI_INVOKE_TYPES_13(__VA_ARGS__)
#define LFI_INVOKE_TYPES_15(x_, ...)         \
	typedef __typeof__(x_) lfi_type_15_; \
	LFI_INVOKE_TYPES_14(__VA_ARGS__)
#define LFI_INVOKE_TYPES_16(x_, ...)         \
	typedef __typeof__(x_) lfi_type_16_; \
	LFI_INVOKE_TYPES_15(__VA_ARGS__)

#define LFI_INVOKE_ARGS_1(x_)                \
	const lfi_type_1_ lfi_arg_1_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_1_)
#define LFI_INVOKE_ARGS_2(x_, ...)           \
	const lfi_type_2_ lfi_arg_2_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_2_) LFI_INVOKE_ARGS_1(__VA_ARGS__)
#define LFI_INVOKE_ARGS_3(x_, ...)           \
	const lfi_type_3_ lfi_arg_3_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_3_) LFI_INVOKE_ARGS_2(__VA_ARGS__)
#define LFI_INVOKE_ARGS_4(x_, ...)           \
	const lfi_type_4_ lfi_arg_4_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_4_) LFI_INVOKE_ARGS_3(__VA_ARGS__)
#define LFI_INVOKE_ARGS_5(x_, ...)           \
	const lfi_type_5_ lfi_arg_5_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_5_) LFI_INVOKE_ARGS_4(__VA_ARGS__)
#define LFI_INVOKE_ARGS_6(x_, ...)           \
	const lfi_type_6_ lfi_arg_6_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_6_) LFI_INVOKE_ARGS_5(__VA_ARGS__)
#define LFI_INVOKE_ARGS_7(x_, ...)           \
	const lfi_type_7_ lfi_arg_7_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_7_) LFI_INVOKE_ARGS_6(__VA_ARGS__)
#define LFI_INVOKE_ARGS_8(x_, ...)           \
	const lfi_type_8_ lfi_arg_8_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_8_) LFI_INVOKE_ARGS_7(__VA_ARGS__)
#define LFI_INVOKE_ARGS_9(x_, ...)           \
	const lfi_type_9_ lfi_arg_9_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_9_) LFI_INVOKE_ARGS_8(__VA_ARGS__)
#define LFI_INVOKE_ARGS_10(x_, ...)            \
	const lfi_type_10_ lfi_arg_10_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_10_) LFI_INVOKE_ARGS_9(__VA_ARGS__)
#define LFI_INVOKE_ARGS_11(x_, ...)            \
	const lfi_type_11_ lfi_arg_11_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_11_) LFI_INVOKE_ARGS_10(__VA_ARGS__)
#define LFI_INVOKE_ARGS_12(x_, ...)            \
	const lfi_type_12_ lfi_arg_12_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_12_) LFI_INVOKE_ARGS_11(__VA_ARGS__)
#define LFI_INVOKE_ARGS_13(x_, ...)            \
	const lfi_type_13_ lfi_arg_13_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_13_) LFI_INVOKE_ARGS_12(__VA_ARGS__)
#define LFI_INVOKE_ARGS_14(x_, ...)            \
	const lfi_type_14_ lfi_arg_14_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_14_) LFI_INVOKE_ARGS_13(__VA_ARGS__)
#define LFI_INVOKE_ARGS_15(x_, ...)            \
	const lfi_type_15_ lfi_arg_15_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_15_) LFI_INVOKE_ARGS_14(__VA_ARGS__)
#define LFI_INVOKE_ARGS_16(x_, ...)            \
	const lfi_type_16_ lfi_arg_16_ = (x_); \
	LFI_INVOKE_ADD(lfi_type_16_) LFI_INVOKE_ARGS_15(__VA_ARGS__)

#define LFI_INVOKE_PASSED_1 LFI_INVOKE_PASS(lfi_arg_1_)
#define LFI_INVOKE_PASSED_2 LFI_INVOKE_PASS(lfi_arg_2_), LFI_INVOKE_PASSED_1
#define LFI_INVOKE_PASSED_3 LFI_INVOKE_PASS(lfi_arg_3_), LFI_INVOKE_PASSED_2
#define LFI_INVOKE_PASSED_4 LFI_INVOKE_PASS(lfi_arg_4_), LFI_INVOKE_PASSED_3
#define LFI_INVOKE_PASSED_5 LFI_INVOKE_PASS(lfi_arg_5_), LFI_INVOKE_PASSED_4
#define LFI_INVOKE_PASSED_6 LFI_INVOKE_PASS(lfi_arg_6_), LFI_INVOKE_PASSED_5
#define LFI_INVOKE_PASSED_7 LFI_INVOKE_PASS(lfi_arg_7_), LFI_INVOKE_PASSED_6
#define LFI_INVOKE_PASSED_8 LFI_INVOKE_PASS(lfi_arg_8_), LFI_INVOKE_PASSED_7
#define LFI_INVOKE_PASSED_9 LFI_INVOKE_PASS(lfi_arg_9_), LFI_INVOKE_PASSED_8
#define LFI_INVOKE_PASSED_10 LFI_INVOKE_PASS(lfi_arg_10_), LFI_INVOKE_PASSED_9
#define LFI_INVOKE_PASSED_11 LFI_INVOKE_PASS(lfi_arg_11_), LFI_INVOKE_PASSED_10
#define LFI_INVOKE_PASSED_12 LFI_INVOKE_PASS(lfi_arg_12_), LFI_INVOKE_PASSED_11
#define LFI_INVOKE_PASSED_13 LFI_INVOKE_PASS(lfi_arg_13_), LFI_INVOKE_PASSED_12
#define LFI_INVOKE_PASSED_14 LFI_INVOKE_PASS(lfi_arg_14_), LFI_INVOKE_PASSED_13
#define LFI_INVOKE_PASSED_15 LFI_INVOKE_PASS(lfi_arg_15_), LFI_INVOKE_PASSED_14
#define LFI_INVOKE_PASSED_16 LFI_INVOKE_PASS(lfi_arg_16_), LFI_INVOKE_PASSED_15

#define LFI_INVOKE_PARAMS_1 __typeof__(LFI_INVOKE_PASS(lfi_arg_1_))
#define LFI_INVOKE_PARAMS_2 __typeof__(LFI_INVOKE_PASS(lfi_arg_2_)), LFI_INVOKE_PARAMS_1
#define LFI_INVOKE_PARAMS_3 __typeof__(LFI_INVOKE_PASS(lfi_arg_3_)), LFI_INVOKE_PARAMS_2
#define LFI_INVOKE_PARAMS_4 __typeof__(LFI_INVOKE_PASS(lfi_arg_4_)), LFI_INVOKE_PARAMS_3
#define LFI_INVOKE_PARAMS_5 __typeof__(LFI_INVOKE_PASS(lfi_arg_5_)), LFI_INVOKE_PARAMS_4
#define LFI_INVOKE_PARAMS_6 __typeof__(LFI_INVOKE_PASS(lfi_arg_6_)), LFI_INVOKE_PARAMS_5
#define LFI_INVOKE_PARAMS_7 __typeof__(LFI_INVOKE_PASS(lfi_arg_7_)), LFI_INVOKE_PARAMS_6
#define LFI_INVOKE_PARAMS_8 __typeof__(LFI_INVOKE_PASS(lfi_arg_8_)), LFI_INVOKE_PARAMS_7
#define LFI_INVOKE_PARAMS_9 __typeof__(LFI_INVOKE_PASS(lfi_arg_9_)), LFI_INVOKE_PARAMS_8
#define LFI_INVOKE_PARAMS_10 __typeof__(LFI_INVOKE_PASS(lfi_arg_10_)), LFI_INVOKE_PARAMS_9
#define LFI_INVOKE_PARAMS_11 __typeof__(LFI_INVOKE_PASS(lfi_arg_11_)), LFI_INVOKE_PARAMS_10
#define LFI_INVOKE_PARAMS_12 __typeof__(LFI_INVOKE_PASS(lfi_arg_12_)), LFI_INVOKE_PARAMS_11
#define LFI_INVOKE_PARAMS_13 __typeof__(LFI_INVOKE_PASS(lfi_arg_13_)), LFI_INVOKE_PARAMS_12
#define LFI_INVOKE_PARAMS_14 __typeof__(LFI_INVOKE_PASS(lfi_arg_14_)), LFI_INVOKE_PARAMS_13
#define LFI_INVOKE_PARAMS_15 __typeof__(LFI_INVOKE_PASS(lfi_arg_15_)), LFI_INVOKE_PARAMS_14
#define LFI_INVOKE_PARAMS_16 __typeof__(LFI_INVOKE_PASS(lfi_arg_16_)), LFI_INVOKE_PARAMS_15

#define LFI_INVOKE_CALL_0(ret_) (ret_)((LFI_INVOKE_CARRIER(ret_)(*)(void) ) lfi_trampoline_addr)()
#define LFI_INVOKE_TAKE_0(params_)
#define LFI_INVOKE_CALL_1(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_1)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_1)
#define LFI_INVOKE_TAKE_1(params_, ...) LFI_INVOKE_TYPES_1 params_ LFI_INVOKE_ARGS_1(__VA_ARGS__)
#define LFI_INVOKE_CALL_2(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_2)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_2)
#define LFI_INVOKE_TAKE_2(params_, ...) LFI_INVOKE_TYPES_2 params_ LFI_INVOKE_ARGS_2(__VA_ARGS__)
#define LFI_INVOKE_CALL_3(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_3)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_3)
#define LFI_INVOKE_TAKE_3(params_, ...) LFI_INVOKE_TYPES_3 params_ LFI_INVOKE_ARGS_3(__VA_ARGS__)
#define LFI_INVOKE_CALL_4(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_4)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_4)
#define LFI_INVOKE_TAKE_4(params_, ...) LFI_INVOKE_TYPES_4 params_ LFI_INVOKE_ARGS_4(__VA_ARGS__)
#define LFI_INVOKE_CALL_5(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_5)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_5)
#define LFI_INVOKE_TAKE_5(params_, ...) LFI_INVOKE_TYPES_5 params_ LFI_INVOKE_ARGS_5(__VA_ARGS__)
#define LFI_INVOKE_CALL_6(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_6)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_6)
#define LFI_INVOKE_TAKE_6(params_, ...) LFI_INVOKE_TYPES_6 params_ LFI_INVOKE_ARGS_6(__VA_ARGS__)
#define LFI_INVOKE_CALL_7(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_7)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_7)
#define LFI_INVOKE_TAKE_7(params_, ...) LFI_INVOKE_TYPES_7 params_ LFI_INVOKE_ARGS_7(__VA_ARGS__)
#define LFI_INVOKE_CALL_8(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_8)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_8)
#define LFI_INVOKE_TAKE_8(params_, ...) LFI_INVOKE_TYPES_8 params_ LFI_INVOKE_ARGS_8(__VA_ARGS__)
#define LFI_INVOKE_CALL_9(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_9)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_9)
#define LFI_INVOKE_TAKE_9(params_, ...) LFI_INVOKE_TYPES_9 params_ LFI_INVOKE_ARGS_9(__VA_ARGS__)
#define LFI_INVOKE_CALL_10(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_10)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_10)
#define LFI_INVOKE_TAKE_10(params_, ...) LFI_INVOKE_TYPES_10 params_ LFI_INVOKE_ARGS_10(__VA_ARGS__)
#define LFI_INVOKE_CALL_11(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_11)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_11)
#define LFI_INVOKE_TAKE_11(params_, ...) LFI_INVOKE_TYPES_11 params_ LFI_INVOKE_ARGS_11(__VA_ARGS__)
#define LFI_INVOKE_CALL_12(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_12)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_12)
#define LFI_INVOKE_TAKE_12(params_, ...) LFI_INVOKE_TYPES_12 params_ LFI_INVOKE_ARGS_12(__VA_ARGS__)
#define LFI_INVOKE_CALL_13(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_13)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_13)
#define LFI_INVOKE_TAKE_13(params_, ...) LFI_INVOKE_TYPES_13 params_ LFI_INVOKE_ARGS_13(__VA_ARGS__)
#define LFI_INVOKE_CALL_14(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_14)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_14)
#define LFI_INVOKE_TAKE_14(params_, ...) LFI_INVOKE_TYPES_14 params_ LFI_INVOKE_ARGS_14(__VA_ARGS__)
#define LFI_INVOKE_CALL_15(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_15)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_15)
#define LFI_INVOKE_TAKE_15(params_, ...) LFI_INVOKE_TYPES_15 params_ LFI_INVOKE_ARGS_15(__VA_ARGS__)
#define LFI_INVOKE_CALL_16(ret_) \
	(ret_)((LFI_INVOKE_CARRIER(ret_)(*)(LFI_INVOKE_PARAMS_16)) lfi_trampoline_addr)(LFI_INVOKE_PASSED_16)
#define LFI_INVOKE_TAKE_16(params_, ...) LFI_INVOKE_TYPES_16 params_ LFI_INVOKE_ARGS_16(__VA_ARGS__)

#endif

#endif
