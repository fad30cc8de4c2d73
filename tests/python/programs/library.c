/* SPDX-License-Identifier: MIT */
/* What the Python tests call. */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "library.h"

static struct node head = {0, "head", 1.5, {1, 2, 3}};
int counter = 3;

int8_t
add8(int8_t a, int8_t b)
{
	return (int8_t) (a + b);
}
uint16_t
same16(uint16_t x)
{
	return x;
}
int64_t
same64(int64_t x)
{
	return x;
}
uint64_t
big(uint64_t x)
{
	return x;
}
_Bool
negate(_Bool b)
{
	return !b;
}
float
half(float x)
{
	return x / 2;
}
long double
twice(long double x)
{
	return x * 2;
}
double
many(int a, double b, int c, double d, int e, int f, int g, int h, double i, float j)
{
	return a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8 + i * 9 + j * 10;
}
double
norm(const double *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i] * v[i];
	return sqrt(sum);
}
struct point
mirror(struct point p)
{
	return (struct point){p.y, p.x};
}
void
shift(struct point *p, int by)
{
	p->x += by;
	p->y += by;
}
struct large
enlarge(struct large x)
{
	for (int i = 0; i < 8; i++)
		x.values[i] *= 2;
	return x;
}
struct node *
first(void)
{
	return &head;
}
const char *
first_name(const struct node *node)
{
	return node->name;
}
size_t
length(const char *s)
{
	return strlen(s);
}
void
fill(uint8_t *p, size_t n, int c)
{
	memset(p, c, n);
}
int
divide(int a, int b, int *quotient, int *remainder)
{
	*quotient = a / b;
	*remainder = a % b;
	return 0;
}
enum color
following(enum color c)
{
	return c == RED ? GREEN : BLUE;
}
double
apply_node(double (*f)(struct node *, struct point, enum color), int x)
{
	return f(&head, (struct point){x, -x}, GREEN);
}
void
each(void (*f)(int), int n)
{
	for (int i = 0; i < n; i++)
		f(i);
}
int
format(char *out, size_t n, const char *f, ...)
{
	va_list values;
	int r;

	va_start(values, f);
	r = vsnprintf(out, n, f, values);
	va_end(values);
	return r;
}
int (*get_add(void))(int, int)
{
	return add;
}
void *
bogus(void)
{
	return (void *) 0x12345678;
}
void
leave(int status)
{
	exit(status);
}
void *
take(size_t n)
{
	return malloc(n);
}
void
release(void *p)
{
	free(p);
}
int
count(void)
{
	return counter++;
}

static int (*from_thread)(int);
static void *
thread(void *arg)
{
	return (void *) (intptr_t) from_thread((int) (intptr_t) arg);
}
int
in_thread(int (*f)(int), int x)
{
	pthread_t made;
	void *result;

	from_thread = f;
	if (pthread_create(&made, 0, thread, (void *) (intptr_t) x))
		return -1;
	pthread_join(made, &result);
	return (int) (intptr_t) result;
}

/* What a hostile library would try with memory that the host looks at. */
extern int munmap(void *, size_t), mprotect(void *, size_t, int);
int
unmap(void *p, size_t n)
{
	return munmap((void *) ((uintptr_t) p & -4096ul), n);
}
int
protect(void *p, size_t n)
{
	return mprotect((void *) ((uintptr_t) p & -4096ul), n, 0);
}
