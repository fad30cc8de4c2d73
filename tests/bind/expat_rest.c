/* SPDX-License-Identifier: MIT */
/* What of expat cannot be bound, for a program whose expat is in a sandbox. */
#include <expat.h>
#include <stdlib.h>

/* The program reads into this, instead of into memory of the library's. One parser at a time, as in xmlwf. */
static char *buffer;

void *
XML_GetBuffer(XML_Parser parser, int len)
{
	char *more = len > 0 ? realloc(buffer, (size_t) len) : NULL;

	(void) parser;
	if (more)
		buffer = more;
	return more;
}

enum XML_Status
XML_ParseBuffer(XML_Parser parser, int len, int isFinal)
{
	return XML_Parse(parser, buffer, len, isFinal);
}

void
XML_SetUnknownEncodingHandler(XML_Parser parser, XML_UnknownEncodingHandler handler, void *data)
{
	(void) parser;
	(void) handler;
	(void) data;
}

const XML_Feature *
XML_GetFeatureList(void)
{
	static const XML_Feature none = {XML_FEATURE_END, NULL, 0};

	return &none;
}
