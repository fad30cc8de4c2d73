/* SPDX-License-Identifier: MIT */
#ifndef LFI_VERSION_H
#define LFI_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/** The version of the headers. MAJOR is the ABI: it is in the soname. */
#define LFI_VERSION_MAJOR 1
#define LFI_VERSION_MINOR 1
#define LFI_VERSION_PATCH 0
#define LFI_VERSION_STRING "1.1.0"

/** One number to compare with: 10203 is 1.2.3. */
#define LFI_VERSION_NUMBER (LFI_VERSION_MAJOR * 10000 + LFI_VERSION_MINOR * 100 + LFI_VERSION_PATCH)

#ifndef LFI_API
#define LFI_API __attribute__((visibility("default")))
#endif

/** The LFI_VERSION_NUMBER of the library that is running, which may be newer than the headers. */
LFI_API int lfi_version(void);

/** The same as text, for example "1.0.0". Static; never freed. */
LFI_API const char *lfi_version_string(void);

#ifdef __cplusplus
}
#endif

#endif
