/* SPDX-License-Identifier: MIT */
/* Standard input to standard output, line by line, with numbers; their count to standard error. */
#include <stdio.h>

int
main(void)
{
	char line[256];
	int count = 0;

	while (fgets(line, sizeof line, stdin))
		printf("%d %s", ++count, line);
	fprintf(stderr, "%d lines\n", count);
	return 0;
}
