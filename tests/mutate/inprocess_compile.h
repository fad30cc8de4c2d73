/* SPDX-License-Identifier: MIT */
/*
 * Behind the mutants of compile.c: what a mutant writes is compiled, and its bytes take the place of x64_quick, which can
 * be written in this program. COMPILER is the command, INCLUDES its options. See inprocess.py.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef main
int compile_main(int argc, char **argv);

size_t lfi_tables_size = sizeof(struct quick_tables);

/* The tables are all that is constant in the object. */
void
lfi_take_tables(void)
{
	char folder[] = "/tmp/lfi-compile-XXXXXX", source[40], command[2000];
	FILE *in;
	bool taken;

	if (!mkdtemp(folder))
		exit(1);
	snprintf(source, sizeof source, "%s/t.c", folder);
	if (compile_main(2, (char *[]){"compile", source, NULL}) != 0)
		exit(1);
	snprintf(command, sizeof command,
	    "cd %s && " COMPILER " " INCLUDES " -w -c t.c -o t.o && objcopy -O binary -j .rodata t.o t.bin && cat t.bin", folder);
	in = popen(command, "r");
	taken = in && fread((void *) &x64_quick, 1, lfi_tables_size, in) == lfi_tables_size && fgetc(in) == EOF;
	if (in && pclose(in) != 0)
		taken = false;
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (system(command) != 0 || !taken)
		exit(1); /* it does not compile */
}
