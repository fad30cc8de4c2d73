/* SPDX-License-Identifier: MIT */
/* A client of the installed library, with the include spelling of the tutorial. */
#include <lfi/lfi.h>
#include <stdio.h>
#include <string.h>

int
main(void)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){.boxsize = 4UL * 1024 * 1024 * 1024}, 2);
	struct LFIBox *box = engine ? lfi_box_new(engine) : NULL;

	if (!box) {
		fprintf(stderr, "%s\n", lfi_errmsg());
		return 1;
	}
	if (lfi_version() != LFI_VERSION_NUMBER || strcmp(lfi_version_string(), LFI_VERSION_STRING) != 0) {
		fprintf(stderr, "headers are %s, the library is %s\n", LFI_VERSION_STRING, lfi_version_string());
		return 1;
	}
	lfi_box_free(box);
	lfi_free(engine);
	return 0;
}
