/* SPDX-License-Identifier: MIT */
#ifndef LIBRARY_H
#define LIBRARY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define LIMIT 0x10
#define NEGATIVE (-3)
#define TEXT "text"

enum color { RED, GREEN = 5, BLUE };

struct point {
	int x; // from the left
	int y; /* from the top */
};

typedef struct node {
	struct node *next;
	char name[8];
	double w;
	int values[3];
} node_t;

struct large {
	int64_t values[8];
};

union either {
	int i;
	double d;
};

struct flags {
	unsigned a : 3;
};

struct hidden;

int add(int a, int b);
int8_t add8(int8_t a, int8_t b);
uint16_t same16(uint16_t x);
int64_t same64(int64_t x);
uint64_t big(uint64_t x);
_Bool negate(_Bool b);
float half(float x);
long double twice(long double x);
double many(int a, double b, int c, double d, int e, int f, int g, int h, double i, float j);
double norm(const double *v, size_t n);
struct point mirror(struct point p);
void shift(struct point *p, int by);
struct large enlarge(struct large x);
node_t *first(void);
const char *first_name(const struct node *node);
size_t length(const char *s);
void fill(uint8_t *p, size_t n, int c);
int divide(int a, int b, int *quotient, int *remainder);
enum color following(enum color c);
int apply(int (*f)(int), int x);
double apply_node(double (*f)(struct node *, struct point, enum color), int x);
void each(void (*f)(int), int n);
int format(char *out, size_t n, const char *f, ...) __attribute__((format(printf, 3, 4)));
int (*get_add(void))(int, int);
void *bogus(void);
void write_to(int *p);
void spin(void);
int recurse(int n);
void give_up(void);
void leave(int status);
void *take(size_t n);
void release(void *p);
int count(void);
int count_mine(void);
int in_thread(int (*f)(int), int x);
int unmap(void *p, size_t n);
int protect(void *p, size_t n);
int absent(int x);

#endif
