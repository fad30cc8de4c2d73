/* SPDX-License-Identifier: MIT */
/* What the compilers' helper functions compute: 128-bit integers, conversions, complex numbers; and printf and the
 * mathematics library. */
#include <complex.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef unsigned __int128 u128;
typedef __int128 i128;

static void
show(const char *what, u128 x)
{
	printf("%s %016" PRIx64 "%016" PRIx64 "\n", what, (uint64_t) (x >> 64), (uint64_t) x);
}

static uint64_t state = 88172645463325252u;

static uint64_t
random_bits(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Wide, narrow, and with long runs of equal bits. */
static u128
random_wide(int i)
{
	u128 x = (u128) random_bits() << 64 | random_bits();

	switch (i % 6) {
	case 0:
		return x;
	case 1:
		return (uint64_t) x;
	case 2:
		return x >> (random_bits() % 128);
	case 3:
		return (u128) 1 << (random_bits() % 128);
	case 4:
		return -((u128) 1 << (random_bits() % 128));
	default:
		return ~(x >> (random_bits() % 128));
	}
}

static void
integers(void)
{
	for (int i = 0; i < 400; i++) {
		volatile u128 a = random_wide(i), b = random_wide(i / 6);
		volatile i128 sa = (i128) a, sb = (i128) b, product;
		volatile int shift = (int) (random_bits() % 128);
		i128 p;

		if (b == 0)
			b = sb = 1;
		show("udiv", a / b);
		show("umod", a % b);
		if (sb != -1 && sb != 0) {
			show("div", (u128) (sa / sb));
			show("mod", (u128) (sa % sb));
		}
		show("mul", a * b);
		show("shl", a << shift);
		show("shr", a >> shift);
		show("sar", (u128) (sa >> shift));
		printf("over %d\n", __builtin_mul_overflow(sa, sb, &p));
		product = p;
		show("product", (u128) product);
		printf("bits %d %d %d %d\n", __builtin_popcountll((uint64_t) a), __builtin_parityll((uint64_t) b),
		    __builtin_ffsll((int64_t) a), __builtin_clrsbll((int64_t) b));
	}
}

static void
conversions(void)
{
	for (int i = 0; i < 400; i++) {
		volatile u128 a = random_wide(i);
		volatile i128 s = (i128) a;
		volatile double d = (double) a, sd = (double) s;
		volatile float f = (float) a, sf = (float) s;
		volatile long double l = (long double) a, sl = (long double) s;
		volatile uint64_t u = (uint64_t) a;

		printf("%a %a %a %a %La %La %a %a\n", d, sd, f, sf, l, sl, (double) u, (float) u);
		if (fabs(sd) < 0x1p126) {
			show("fixd", (u128) (i128) sd);
			show("fixf", (u128) (i128) sf);
			show("fixl", (u128) (i128) sl);
		}
		if (d < 0x1p127)
			show("fixu", (u128) d);
		if (f < 0x1p63f)
			printf("%" PRIu64 " %" PRId64 "\n", (uint64_t) f, (int64_t) f);
	}
}

/* The sign of a zero may differ: it depends on the order in which the helper functions compute. */
static void
show_complex(const char *what, long double complex z)
{
	printf("%s %.12Lg %.12Lg\n", what, creall(z) + 0, cimagl(z) + 0);
}

static void
complexes(void)
{
	static const double parts[] = {0.0, -0.0, 1.0, -2.5, 1e-3, 1e30, INFINITY, -INFINITY};
	enum { COUNT = sizeof parts / sizeof parts[0] };

	for (int i = 0; i < COUNT * COUNT * COUNT; i++) {
		volatile double complex a = CMPLX(parts[i % COUNT], parts[i / COUNT % COUNT]),
					b = CMPLX(parts[i / COUNT / COUNT], 1.25);
		volatile float complex fa = (float complex) a, fb = (float complex) b;
		volatile long double complex la = a, lb = b;

		show_complex("mul", a * b);
		show_complex("mulf", fa * fb);
		show_complex("mull", la * lb);
		show_complex("div", a / b);
		show_complex("divl", la / lb);
	}
	show_complex("exp", cexp(CMPLX(1, 2)));
	show_complex("sqrt", csqrt(CMPLX(-3, 4)));
}

static void
mathematics(void)
{
	for (volatile double x = 0.1; x < 30; x *= 1.7) {
		printf("%.14g %.14g %.14g %.14g %.14g %.14g\n", sin(x), cos(x), tan(x), exp(x), log(x), pow(x, 1.5));
		printf("%.14g %.14g %.14g %.14g %.14g %.14g\n", atan2(x, 2), sqrt(x), cbrt(x), floor(x), fmod(x, 0.7),
		    tgamma(x));
		printf("%.17Lg %.17Lg %.17Lg %.17Lg %.17Lg\n", expl(x), logl(x), sinl(x), floorl(x), atanl(x));
		printf("%.7g %.7g %ld %ld\n", (double) sinf((float) x), (double) expf((float) x), lrint(x), lround(x));
		printf("%.14g\n", __builtin_powi(x, 7));
	}
	printf("%g %e %.3f %a %Lf %5.1f|%-8.2f|%+g %g %g\n", 1e10, 1.5, 2.0 / 3, 0.1, 1.25L, 9.96, 3.14159, 2.0,
	    INFINITY, -NAN);
	printf("%.17g %.17g %g\n", strtod("0.1", NULL), strtod("0x1.8p3", NULL), strtod("1e-320", NULL));
	printf(
	    "%d %u %x %o %c %s %5d|%-5d|%05d %lld %zu %%\n", -5, 7u, 255, 8, 'c', "s", 42, 42, 42, -1LL, sizeof(long));
}

int
main(void)
{
	integers();
	conversions();
	complexes();
	mathematics();
	return 0;
}
