/* SPDX-License-Identifier: MIT */
/*
 * A library that fills its memory with pointers of all kinds. prepare() makes them, and survives() finds out whether
 * they still mean the same, in this sandbox or in a copy of its memory at another place.
 */
#include <alloca.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
	struct node *next, *prev;
	int value;
};

typedef int (*operation)(int, int);
typedef int (*self)(void *, int);

int prepare(void);
int survives(void);
int flush(void);
int stack_is_narrow(void);
int read_at(const volatile int *place);
int calls_read_at(const volatile int *place);

static struct node head = {&head, &head, 0};
static int
add(int a, int b)
{
	return a + b;
}
static int
sub(int a, int b)
{
	return a - b;
}
static int
mul(int a, int b)
{
	return a * b;
}
static const operation constant_table[] = {add, sub, mul};
static operation *table;
static self self_caller;
static jmp_buf where;
static sigjmp_buf where_else;
static __thread struct node *own = &head;
static __thread char own_buffer[40];
static char *text, *found, *copied;
static void *from_stack, *callee_seen;
static FILE *stream;
static char *stream_text;
static size_t stream_size;
static char big[5000], other_big[5000], *big_end;
volatile size_t runtime_size = 4999;

static int
compare(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

/* Is called with its own address as an argument. */
static int
keep_self(void *me, int value)
{
	callee_seen = me;
	return value + 1;
}

static int __attribute__((noinline))
call_with_itself(self fn)
{
	return fn((void *) fn, 3) + 1;
}

static int __attribute__((noinline))
tail_call_with_itself(void *fn)
{
	return ((self) fn)(fn, 4);
}

static int __attribute__((noinline))
sum(int count, ...)
{
	va_list list;
	int total = 0;

	va_start(list, count);
	while (count--)
		total += *va_arg(list, int *);
	va_end(list);
	return total;
}

static void
append(int value)
{
	struct node *node = malloc(sizeof *node);

	node->value = value;
	node->next = &head;
	node->prev = head.prev;
	head.prev->next = node;
	head.prev = node;
}

static int __attribute__((noinline))
on_the_stack(size_t size)
{
	char *memory = alloca(size);
	int a = 1, b = 2, c = 3;

	memset(memory, 'a', size);
	memory[size - 1] = 0;
	from_stack = memory;
	return sum(3, &a, &b, &c) == 6 && strlen(memory) == size - 1;
}

static int
jump(void)
{
	volatile int times = 0;

	if (setjmp(where) == 0 && ++times)
		longjmp(where, 1);
	if (sigsetjmp(where_else, 1) == 0 && ++times)
		siglongjmp(where_else, 1);
	return times == 2;
}

static int
strings(void)
{
	memset(big, 'x', runtime_size);
	__asm__ volatile("" : : : "memory");
	memcpy(other_big, big, runtime_size);
	big_end = memchr(other_big, 0, sizeof other_big);
	text = strdup("one two");
	found = strchr(text, 't');
	copied = stpcpy(own_buffer, text);
	return big_end == other_big + runtime_size && found == text + 4 && copied == own_buffer + 7;
}

/* The string instructions leave their pointers in registers, which end up in memory here. */
static char *after_stos, *after_movs, *after_movs_source, *after_scas;
static int
string_instructions(void)
{
	char *to = big;
	const char *from = other_big;
	size_t n = 10;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
	after_stos = to;
	n = 10;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	after_movs = to;
	after_movs_source = (char *) from;
	n = 100;
	__asm__ volatile("repne scasb" : "+D"(to), "+c"(n) : "a"(1) : "memory", "cc");
	after_scas = to;
	return after_stos == big + 10 && after_movs == big + 20 && after_movs_source == other_big + 10;
}

/* Whatever reads the stack pointer gets its lower half. */
int
stack_is_narrow(void)
{
	unsigned long copy, sum = 0, pushed, stored;

	__asm__ volatile("movq %%rsp, %0" : "=r"(copy));
	__asm__ volatile("addq %%rsp, %0" : "+r"(sum));
	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushq %%rsp\n\tpopq %0\n\tleaq 128(%%rsp), %%rsp" : "=r"(pushed));
	__asm__ volatile("movq %%rsp, %0" : "=m"(stored));
	return copy >> 32 == 0 && sum >> 32 == 0 && pushed >> 32 == 0 && stored >> 32 == 0 && copy == sum &&
	       copy == stored;
}

int
prepare(void)
{
	int numbers[] = {5, 3, 9, 1}, ok = 1;

	for (int i = 1; i <= 100; i++)
		append(i);
	free(malloc(200000));
	table = malloc(3 * sizeof *table);
	memcpy(table, constant_table, sizeof constant_table);
	qsort(numbers, 4, sizeof numbers[0], compare);
	ok &= numbers[0] == 1 && numbers[3] == 9;
	self_caller = keep_self;
	ok &= call_with_itself(self_caller) == 5 && callee_seen == (void *) keep_self;
	ok &= tail_call_with_itself((void *) self_caller) == 5;
	own = head.next;
	ok &= on_the_stack(runtime_size) && jump() && strings() && string_instructions() && stack_is_narrow();
	stream = open_memstream(&stream_text, &stream_size);
	fprintf(stream, "waits for %s", "a flush");
	setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
	printf("waits too\n");
	return ok;
}

int
survives(void)
{
	struct node *node = head.next;
	int count = 0;

	for (; node != &head; node = node->next)
		if (node->next->prev != node || node->value != ++count)
			return 1;
	if (count != 100 || own != head.next || own->value != 1)
		return 2;
	if (table[0] != add || table[1](5, 2) != 3 || table[2] != constant_table[2] || self_caller != keep_self)
		return 3;
	if (found != text + 4 || copied != own_buffer + 7 || strcmp(own_buffer, "one two") != 0 ||
	    big_end != other_big + runtime_size)
		return 4;
	append(101);
	if (head.prev->value != 101)
		return 5;
	head.prev = head.prev->prev;
	free(head.prev->next);
	head.prev->next = &head;
	if (!jump() || !string_instructions() || !on_the_stack(5000) || !stack_is_narrow())
		return 6;
	if (call_with_itself(self_caller) != 5 || callee_seen != (void *) keep_self)
		return 7;
	text = realloc(text, 100000);
	strcpy(text, "one two");
	strcat(text, " three");
	found = strchr(text, 't');
	return strcmp(text, "one two three") == 0 && found == text + 4 ? 0 : 8;
}

int
flush(void)
{
	if (fflush(stream) != 0 || strcmp(stream_text, "waits for a flush") != 0)
		return 1;
	return fflush(stdout) == 0 ? 0 : 2;
}

__attribute__((noinline)) int
read_at(const volatile int *place)
{
	return *place + 1;
}

/* Not a tail call: there is a frame to return to. */
int
calls_read_at(const volatile int *place)
{
	return read_at(place) * 2;
}
