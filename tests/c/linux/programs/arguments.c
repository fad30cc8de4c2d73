/* SPDX-License-Identifier: MIT */
/* Shows arguments and environment; the exit status is the number of arguments. */
#include <stdio.h>

int
main(int argc, char **argv, char **envp)
{
	for (int i = 1; i < argc; i++)
		printf("argument %s\n", argv[i]);
	for (; *envp; envp++)
		printf("variable %s\n", *envp);
	return argc;
}
