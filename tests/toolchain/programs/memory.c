/* SPDX-License-Identifier: MIT */
/* Memory: all sizes and alignments of the string functions, the allocator, atomic operations, bit tests, inline
 * assembly. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static unsigned char from[512], to[512];

static unsigned
checksum(const unsigned char *p, size_t n)
{
	unsigned sum = 1;

	while (n--)
		sum = sum * 31 + *p++;
	return sum;
}

static void
blocks(void)
{
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof from; i++)
		from[i] = (unsigned char) (i * 7 + 3);
	for (size_t offset = 0; offset < 17; offset++) {
		for (size_t size = 0; size < 200; size += 1 + size / 20) {
			memcpy(to + offset, from + offset / 2, size);
			memmove(to + offset + 1, to + offset, size);
			memmove(to + offset, to + offset + 3, size);
			memset(to + size, (int) offset, offset);
			sum = sum * 17 + checksum(to, sizeof to);
			sum += (unsigned) (memcmp(to, from, size) < 0);
			sum += memchr(from, to[offset], size) ? 1 : 0;
		}
	}
	printf("blocks %08x\n", sum);
}

static void
strings(void)
{
	char text[200];

	strcpy(text, "The quick brown fox");
	strcat(text, " jumps over the lazy dog");
	printf("%zu %s %s %d %s\n", strlen(text), strchr(text, 'q'), strrchr(text, 'o'), strcmp(text, "The quack"),
	    strstr(text, "lazy"));
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		printf("[%s]", word);
	printf("\n%ld %lu %d\n", strtol("-123", NULL, 10), strtoul("ff", NULL, 16), atoi("42"));
}

static void
allocator(void)
{
	enum { COUNT = 300 };
	static unsigned char *blocks_of[COUNT];
	static size_t sizes[COUNT];
	unsigned state = 1;

	for (int i = 0; i < 20000; i++) {
		unsigned slot = (state = state * 1103515245 + 12345) / 65536 % COUNT;
		size_t size = (state = state * 1103515245 + 12345) / 65536 % 3000 + 1;

		for (size_t j = 0; j < sizes[slot]; j += 97)
			if (blocks_of[slot][j] != (unsigned char) slot)
				exit(1);
		if (i % 3 == 0) {
			free(blocks_of[slot]);
			blocks_of[slot] = malloc(size);
		} else
			blocks_of[slot] = realloc(blocks_of[slot], size);
		if (!blocks_of[slot])
			exit(2);
		memset(blocks_of[slot], (int) slot, size);
		sizes[slot] = size;
	}
	for (int i = 0; i < COUNT; i++)
		free(blocks_of[i]);
	blocks_of[0] = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	blocks_of[0][(1 << 20) - 1] = 5;
	printf("allocator %d\n", blocks_of[0][(1 << 20) - 1]);
	printf("unmap %d\n", munmap(blocks_of[0], 1 << 20));
}

static void
atomics(void)
{
	static _Atomic int i = 5;
	static _Atomic uint64_t u = 1;
	static _Atomic unsigned char c = 3;
	int expected = 6;

	i++;
	printf("%d %d\n", atomic_compare_exchange_strong(&i, &expected, 9), atomic_load(&i));
	printf("%d %d\n", atomic_compare_exchange_strong(&i, &expected, 10), expected);
	printf("%d %llu %d\n", atomic_exchange(&i, 11), (unsigned long long) atomic_fetch_or(&u, 0xf0),
	    atomic_fetch_sub(&c, 1));
	printf("%llu %d\n", (unsigned long long) atomic_fetch_xor(&u, 0xff), atomic_fetch_and(&c, 6));
}

static void
bits(void)
{
	static uint64_t words[4];
	unsigned set = 0;

	for (unsigned i = 0; i < 256; i += 5)
		words[i / 64] |= (uint64_t) 1 << (i % 64);
	for (unsigned i = 0; i < 256; i++)
		set += words[i / 64] >> (i % 64) & 1;
	words[1] &= ~((uint64_t) 1 << 6);
	printf("bits %u %llx\n", set, (unsigned long long) words[1]);
}

static void
assembly(void)
{
	static long value = 40;
	long result, count;
	unsigned low, high;

	__asm__("addq $2, %0" : "+m"(value));
	__asm__("movq %1, %0\n\tleaq 1(%0), %0" : "=&r"(result) : "m"(value));
	__asm__("mull %3" : "=a"(low), "=d"(high) : "0"(0x10000u), "r"(0x30000u));
	printf("assembly %ld %ld %u %u\n", value, result, low, high);
	__asm__ volatile("rep stosb" : "=D"(result), "=c"(count) : "0"(to), "1"(16L), "a"(7) : "memory");
	printf("stosb %d %d\n", to[15], (unsigned char *) result == to + 16);
}

int
main(void)
{
	blocks();
	strings();
	allocator();
	atomics();
	bits();
	assembly();
	return 0;
}
