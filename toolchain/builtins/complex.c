/* SPDX-License-Identifier: MIT */
/*
 * Multiplication and division of complex numbers with the infinities of C99
 * Annex G, and integer powers. Part of libgcc.a of the sysroot; runs in the
 * sandbox, not trusted.
 */
#include "builtins.h"

#define INFINITE(x) __builtin_isinf(x)
#define NAN_BOTH(x, y) (__builtin_isnan(x) && __builtin_isnan(y))

/* An infinite part becomes 1, any other 0, with its sign: the direction in which a number is infinite. */
#define UNIT(copysign, x) copysign(INFINITE(x) ? 1 : 0, x)

/* A NaN becomes a zero with its sign. */
#define ZERO_NAN(copysign, x) (__builtin_isnan(x) ? copysign(0, x) : (x))

#define LARGER(a, b) ((a) > (b) ? (a) : (b))

#define MULTIPLY(suffix, type, copysign)                                                                 \
	static _Complex type make_##suffix(type x, type y)                                               \
	{                                                                                                \
		_Complex type z;                                                                         \
		__real__ z = x;                                                                          \
		__imag__ z = y;                                                                          \
		return z;                                                                                \
	}                                                                                                \
                                                                                                         \
	_Complex type __mul##suffix##c3(type a, type b, type c, type d)                                  \
	{                                                                                                \
		type ac = a * c, bd = b * d, ad = a * d, bc = b * c, x = ac - bd, y = ad + bc;           \
		int left = INFINITE(a) || INFINITE(b), right = INFINITE(c) || INFINITE(d);               \
                                                                                                         \
		if (!NAN_BOTH(x, y))                                                                     \
			return make_##suffix(x, y);                                                      \
		if (left) {                                                                              \
			a = UNIT(copysign, a);                                                           \
			b = UNIT(copysign, b);                                                           \
			c = ZERO_NAN(copysign, c);                                                       \
			d = ZERO_NAN(copysign, d);                                                       \
		}                                                                                        \
		if (right) {                                                                             \
			c = UNIT(copysign, c);                                                           \
			d = UNIT(copysign, d);                                                           \
			a = ZERO_NAN(copysign, a);                                                       \
			b = ZERO_NAN(copysign, b);                                                       \
		}                                                                                        \
		if (!left && !right) {                                                                   \
			/* finite factors, an infinite product */                                        \
			if (!INFINITE(ac) && !INFINITE(bd) && !INFINITE(ad) && !INFINITE(bc))            \
				return make_##suffix(x, y);                                              \
			a = ZERO_NAN(copysign, a);                                                       \
			b = ZERO_NAN(copysign, b);                                                       \
			c = ZERO_NAN(copysign, c);                                                       \
			d = ZERO_NAN(copysign, d);                                                       \
		}                                                                                        \
		return make_##suffix(                                                                    \
		    (type) __builtin_inf() * (a * c - b * d), (type) __builtin_inf() * (a * d + b * c)); \
	}

MULTIPLY(s, float, __builtin_copysignf)
MULTIPLY(d, double, __builtin_copysign)
MULTIPLY(x, long double, __builtin_copysignl)

static long double
magnitude(long double x)
{
	return x < 0 ? -x : x;
}

/* One part of (a + ib) / (c + id) for |c| >= |d|, where r = d / c and size = c + d r. Products that lose digits are
 * formed in another order. */
static long double
quotient_part(long double a, long double b, long double c, long double d, long double r, long double size)
{
	if (magnitude(r) < __LDBL_MIN__)
		return (a + d * (b / c)) / size;
	if (magnitude(b * r) < __LDBL_MIN__)
		return a / size + (b / size) * r;
	return (a + b * r) / size;
}

/* Takes both parts away from the ends of the range by a power of two, which it returns. */
static long double
into_range(long double *x, long double *y)
{
	long double largest = LARGER(magnitude(*x), magnitude(*y)), by = 1;

	if (largest >= __LDBL_MAX__ / 2)
		by = 0.5L;
	else if (largest <= __LDBL_MIN__ * 2 / __LDBL_EPSILON__)
		by = 2 / (__LDBL_EPSILON__ * __LDBL_EPSILON__);
	*x *= by;
	*y *= by;
	return by;
}

_Complex long double
__divxc3(long double a, long double b, long double c, long double d)
{
	long double p = a, q = b, u = c, v = d, scale = 1, r, size, x, y;
	int left = INFINITE(a) || INFINITE(b), right = INFINITE(c) || INFINITE(d);

	scale /= into_range(&p, &q);
	scale *= into_range(&u, &v);
	if (magnitude(u) >= magnitude(v)) {
		r = v / u;
		size = u + v * r;
		x = quotient_part(p, q, u, v, r, size);
		y = quotient_part(q, -p, u, v, r, size);
	} else {
		r = u / v;
		size = v + u * r;
		x = quotient_part(q, p, v, u, r, size);
		y = quotient_part(-p, q, v, u, r, size);
	}
	x *= scale;
	y *= scale;
	if (!NAN_BOTH(x, y))
		return make_x(x, y);
	if (c == 0 && d == 0 && !(__builtin_isnan(a) && __builtin_isnan(b)))
		return make_x(
		    __builtin_copysignl(__builtin_infl(), c) * a, __builtin_copysignl(__builtin_infl(), c) * b);
	if (left && !right && !__builtin_isnan(c) && !__builtin_isnan(d)) {
		a = UNIT(__builtin_copysignl, a);
		b = UNIT(__builtin_copysignl, b);
		return make_x(__builtin_infl() * (a * c + b * d), __builtin_infl() * (b * c - a * d));
	}
	if (right && !left && !__builtin_isnan(a) && !__builtin_isnan(b)) {
		c = UNIT(__builtin_copysignl, c);
		d = UNIT(__builtin_copysignl, d);
		return make_x(0 * (a * c + b * d), 0 * (b * c - a * d));
	}
	return make_x(x, y);
}

/* Divides in a wider type, whose exponents hold the squares. */
#define DIVIDE(name, type, wide, divide)                   \
	_Complex type name(type a, type b, type c, type d) \
	{                                                  \
		_Complex wide z = divide(a, b, c, d);      \
		_Complex type result;                      \
                                                           \
		__real__ result = (type) __real__ z;       \
		__imag__ result = (type) __imag__ z;       \
		return result;                             \
	}

DIVIDE(__divdc3, double, long double, __divxc3)
DIVIDE(__divsc3, float, double, __divdc3)

#define POWER(name, type)                                                 \
	type name(type x, int n)                                          \
	{                                                                 \
		unsigned left = n < 0 ? 0u - (unsigned) n : (unsigned) n; \
		type result = left & 1 ? x : 1;                           \
                                                                          \
		while (left >>= 1) {                                      \
			x *= x;                                           \
			if (left & 1)                                     \
				result *= x;                              \
		}                                                         \
		return n < 0 ? 1 / result : result;                       \
	}

POWER(__powisf2, float)
POWER(__powidf2, double)
POWER(__powixf2, long double)
