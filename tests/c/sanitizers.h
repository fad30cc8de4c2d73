/* SPDX-License-Identifier: MIT */
/* Which sanitizer the tests and the library are built with: 1 or 0. */
#ifndef TEST_SANITIZERS_H
#define TEST_SANITIZERS_H

#ifndef __has_feature
#define __has_feature(feature) 0 /* gcc's */
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { ADDRESS_SANITIZER = 1 };
#else
enum { ADDRESS_SANITIZER = 0 };
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { THREAD_SANITIZER = 1 };
#else
enum { THREAD_SANITIZER = 0 };
#endif

#endif
