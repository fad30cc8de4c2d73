# SPDX-License-Identifier: MIT
"""Mutants of C source: one change each, made without understanding the code.

A mutant is a file, a line, and what that line becomes. rows.h is a table and is mutated as one: rows are removed,
ranges of opcodes made wider and narrower, each flag and field dropped or changed. Everything else is C: conditions
become constant, operands of && and || vanish, comparisons, constants and operators change, statements and cases go.
"""
import re
from collections import namedtuple

# key: what equivalents.txt and reports name a mutant by; it does not change when lines move. opcodes: where to look first.
Mutant = namedtuple("Mutant", "file line text key opcodes")


def strip_comments(source):
    """Blanks comments and what strings hold, keeping every position."""
    def blank(match):
        text = match.group(0)
        if text[0] in "\"'":
            return text[0] + re.sub(r"[^\n]", " ", text[1:-1]) + text[-1]
        return re.sub(r"[^\n]", " ", text)
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, source, flags=re.S)


def replace(text, start, end, new):
    return text[:start] + new + text[end:]


# ---- Tables ----

WIDER = {"NP": ["OSZ"], "OSZ": ["NP", "P66"], "PS": ["NP", "P66"], "STR": ["OSZ"], "P66": ["NP"], "PF2": ["NP"], "PF3": ["NP"]}


def numbers(token):
    """Neighbours of a number, in its own notation."""
    value = int(token, 0)
    for near in (value + 1, value - 1):
        if near >= 0:
            yield "0x%02x" % near if token.startswith("0x") else str(near)


def row_fields(line, start):
    """Each `.name = a | b` behind `start`: name, its span, and the spans of its parts. A bare word has no name."""
    depth, first = 0, start
    for i in range(start, len(line)):
        depth += {"(": 1, ")": -1}.get(line[i], 0)
        if depth < 0 or (depth == 0 and line[i] == ","):
            text = line[first:i]
            name = re.match(r" *\.(\w+) = ", text)
            at = first + (name.end() if name else 0)
            parts = [(at + m.start(), at + m.end()) for m in re.finditer(r"\w+(?:\(\w+\))?(?: << \w+)?", line[at:i])]
            yield name and name.group(1), (first, i), parts if name else []
            first = i + 1
        if depth < 0:
            return


# What text.c alone looks at is left alone, as it has no bearing on a verdict: what is read and written of vector registers,
# how wide a general register is that is no memory operand, rax as an operand that the opcode names, the class of a
# memory operand whose size .mem gives, and .mem of string instructions. So of ModRM.rm, where it can be memory, access
# and class are changed; of general registers, that they are written.
ACCESS = {"R": "RW", "W": "R", "RW": "R"}
CLASSES = {"Gb": ["Gv"], "Gw": ["Gd"], "Gd": ["Gq", "Gw"], "Gq": ["Gd"], "Gv": ["Gd"], "Gy": ["Gd", "Gq"], "Gs": ["Gq"],
           "Vx": ["Vo"], "Vo": ["Vx"], "Pq": ["Vo"], "St": ["Gq"]}


def changes_of(name, text, part, line):
    general = re.search(r"\bG[a-z]\b", text)
    memory = name == "rm" and not re.search(r"\bREG\b", text) and not re.match(r"DIGIT\(\w+, REG", line)
    if part in ACCESS and (memory or general):
        return [ACCESS[part]]
    if part == "Vo" and (line.startswith(("ROW(ONE", "ROW(TWO", "ROW(T3")) or re.search(r"\bL0\b", line)):
        return []  # there is no other length
    if part in CLASSES and memory and (".mem" not in line or part == "St"):
        return CLASSES[part]
    if part in CLASSES and name != "rm" and general and re.search(r"\bR?W\b", text):
        return ["Vo"]
    return []


def is_for_text_only(name, text, line):
    """Whether nothing but a message changes without this field."""
    general = re.search(r"\bG[a-z]\b", text)
    written = re.search(r"\bR?W\b", text)
    if name == "acc":
        return "AND" not in line
    if name == "mem":
        return "STR" in line
    if name == "rm":
        only_register = line.startswith("DIGIT") and ", REG, " in line
        return not (general or written or "MEM" in text or "REG" in text) and \
            (only_register or (".mem" in line and ".reg" in line))
    return name in ("reg", "op") and not (general and written)


def field_mutants(line, start):
    for name, span, parts in row_fields(line, start):
        if is_for_text_only(name, line[span[0]:span[1]], line):
            continue
        yield replace(line, span[0] - 1, span[1], ""), "without %s" % line[span[0]:span[1]].strip()
        for first, last in parts:
            part = line[first:last]
            said = re.match(r"DIGIT\(\w+, (\w+)", line)
            if said and said.group(1) == part:
                continue  # the form of the digit is the same again
            if len(parts) > 1 and part not in ACCESS and part not in CLASSES:
                cut = line[:first] + "0" + line[last:]
                yield cut, "%s without %s" % (name, part)
            for other in changes_of(name, line[span[0]:span[1]], part, line):
                yield replace(line, first, last, other), ".%s: %s for %s" % (name, other, part)
            if re.fullmatch(r"0x[0-9a-f]+|[0-9]+", part):
                for other in numbers(part):
                    yield replace(line, first, last, other), ".%s: %s for %s" % (name, other, part)
            shift = re.fullmatch(r"1 << (\d+)", part)
            if shift:
                yield replace(line, first, last, "1 << %d" % (int(shift.group(1)) + 1)), ".%s: %s shifted" % (name, part)


# Bytes that are prefixes, or lead to another map: no opcode of theirs is looked up.
NO_OPCODES = {"ONE": {0x0f, 0x26, 0x2e, 0x36, 0x3e, *range(0x40, 0x50), *range(0x62, 0x68), 0xc4, 0xc5, 0xf0, 0xf2, 0xf3} - {0x63},
              "TWO": {0x38, 0x3a}}


def row_mutants(line):
    """What a line of a table becomes, and how to call it."""
    head = re.match(r"(ROW|GROUP|DIGIT)\((\w+), (\w+), (\w+), (\w+), (\"[^\"]*\"|\w+)", line)
    if not head:
        return
    kind, place, prefix, first, last, _ = head.groups()
    yield "", "row removed"
    if kind != "DIGIT":
        for other in WIDER.get(prefix, []):
            yield replace(line, *head.span(3), other), "prefix %s for %s" % (other, prefix)
    elif prefix in ("MEM", "REG"):
        yield replace(line, *head.span(3), "ANY"), "form ANY for %s" % prefix
    else:
        for other in ("MEM", "REG"):
            yield replace(line, *head.span(3), other), "form %s for ANY" % other
    for group, value in ((4, first), (5, last)):
        for other in numbers(value):
            if int(other, 0) in NO_OPCODES.get(place, ()):
                continue
            low, high = (other, last) if group == 4 else (first, other)
            if int(low, 0) <= int(high, 0) and int(high, 0) < (8 if kind == "DIGIT" else 256):
                yield replace(line, *head.span(group), other), "%s for %s" % (other, value)
    if kind != "GROUP":
        yield from field_mutants(line, head.end() + 1)


# ---- C ----

SWAPS = [(r"(?<![<>=!+\-*/&|^%])==", "!="), (r"!=", "=="), (r"(?<![<\-])<(?![<=])", "<="), (r"(?<![<])<=", "<"),
         (r"(?<![>\-])>(?![>=])", ">="), (r"(?<![>])>=", ">"), (r"&&", "||"), (r"\|\|", "&&"),
         (r"(?<=\w )\+ (?=\w|\()", "- "), (r"(?<=[\w)] )- (?=\w|\()", "+ "), (r"(?<=[\w)] )& (?=[\w(~])", "| "),
         (r"(?<=[\w)] )\| (?=[\w(~])", "& "), (r"<<(?!=)", ">>"), (r"(?<!-)>>(?!=)", "<<"), (r"!(?=[\w(])(?!=)", ""),
         (r"~(?=[\w(])", ""), (r"\+=", "-="), (r"-=", "+="), (r"\|=", "&="), (r"&=", "|="), (r"(?<=[\w)] )% ", "/ "),
         (r"(?<![\w])true\b", "false"), (r"(?<![\w])false\b", "true"), (r"\+\+", "--"), (r"(?<= )\* (?=\w)", "+ ")]


def operand_span(text, at, direction):
    """The operand left (-1) or right (1) of the && or || at `at`: up to the next one or the bracket around it."""
    depth, i = 0, at - 1 if direction < 0 else at + 2
    opening, closing = ("([{", ")]}") if direction > 0 else (")]}", "([{")
    while 0 <= i < len(text):
        c = text[i]
        if c in opening:
            depth += 1
        elif c in closing:
            if depth == 0:
                break
            depth -= 1
        elif depth == 0 and (c in ";?:" or text[i:i + 2] in ("&&", "||") or (c == "=" and direction < 0 and
                             text[i - 1] not in "=!<>" and text[i + 1] != "=")):
            break
        elif depth == 0 and direction < 0 and text[i - 6:i + 1] == "return ":
            break
        i += direction
    return (i + (2 if text[i:i + 2] in ("&&", "||") and direction < 0 and text[i + 1] in "&|" else 1), at) \
        if direction < 0 else (at + 2, i)


def condition(source, at):
    """The span inside the brackets that open at or after `at`."""
    start = source.index("(", at)
    depth = 0
    for i in range(start, len(source)):
        depth += {"(": 1, ")": -1}.get(source[i], 0)
        if depth == 0:
            return start + 1, i
    raise ValueError("brackets")


def c_changes(source):
    """Spans of stripped C source, what to put there, and how to call it."""
    code = re.sub(r"(?m)^\s*(#(?!define)|_Static_assert|static_assert)[^\n]*(\n\t+[^\n]*)*?;?$",
                  lambda m: re.sub(r"[^\n]", " ", m.group(0)), source)
    for match in re.finditer(r"\b(if|while) \(", code):
        first, last = condition(code, match.end() - 2)
        yield first, last, "0 && (%s)", "never"
        if match.group(1) == "if":
            yield first, last, "1 || (%s)", "always"
    for match in re.finditer(r"&&|\|\|", code):
        for direction in (-1, 1):
            first, last = operand_span(code, match.start(), direction)
            name = "left" if direction < 0 else "right"
            if direction < 0:
                yield first, match.end(), "", "without the %s of %s" % (name, match.group(0))
            else:
                yield match.start(), last, "", "without the %s of %s" % (name, match.group(0))
    for pattern, other in SWAPS:
        for match in re.finditer(pattern, code):
            yield match.start(), match.end(), other, "%s for %s" % (other.strip() or "nothing", match.group(0).strip())
    for match in re.finditer(r"(?<![\w.\"'])(0x[0-9a-f]+|[0-9]+)(?![\w.\"'])", code):
        for other in numbers(match.group(1)):
            yield match.start(), match.end(), other, "%s for %s" % (other, match.group(1))
    for match in re.finditer(r"(?m)^\t+((?!return|break|case|default|goto|else|struct|static|const|continue|unsigned|int|bool|"
                             r"uint\w+|size_t|char|void|int64_t)[\w*\(][^;{}\n]*;|break;|case \w+:)$", code):
        yield match.start(1), match.end(1), ";" if match.group(1)[-1] == ";" else "", "removed"
    for match in re.finditer(r"(?m)^    \[\w+\] = [^\n]*,$", code):
        yield match.start(), match.end(), "", "removed"
    for match in re.finditer(r"\breturn ([^;]{2,}?);", code):
        if match.group(1) not in ("true", "false", "0", "1"):
            for value in ("0", "1"):
                yield match.start(1), match.end(1), value, "returns " + value


def function_at(source, at):
    """The name of the function around `at`; "" outside of functions."""
    start = source.rfind("\n}\n", 0, at)
    names = re.findall(r"(?m)^(\w+)\([^;]*?\)\n\{", source[max(start, 0):at])
    return names[-1] if names else ""


def row_opcodes(line, groups):
    """The opcodes of a row and their neighbours, for who wants to see a difference soon."""
    head = re.match(r"(?:ROW|GROUP)\(\w+, \w+, (0x\w+), (0x\w+)", line)
    group = re.match(r"DIGIT\((\w+)", line)
    first, last = head.groups() if head else groups.get(group.group(1), ("0x0", "0x0"))
    return " ".join("%x" % (opcode & 255) for opcode in range(int(first, 0) - 1, int(last, 0) + 2))


def mutants(name, source):
    """All mutants of a file, in its order."""
    lines = source.split("\n")
    if any(line.startswith("ROW(") for line in lines):
        groups = {m.group(3): m.group(1, 2) for m in re.finditer(r"(?m)^GROUP\(\w+, \w+, (0x\w+), (0x\w+), (\w+)\)", source)}
        for i, line in enumerate(lines):
            for text, what in row_mutants(line):
                yield Mutant(name, i + 1, "\n".join(lines[:i] + [text] + lines[i + 1:]), "%s: %s: %s" % (name, line, what),
                             row_opcodes(line, groups))
        return
    code = strip_comments(source)
    texts, keys = set(), {}
    for first, last, new, what in sorted(c_changes(code), key=lambda change: (change[0], change[1], change[3])):
        old = source[first:last]
        text = replace(source, first, last, new % old if "%s" in new else new)
        line = source.count("\n", 0, first)
        column = len(source[source.rfind("\n", 0, first) + 1:first].lstrip())
        if text == source or text in texts:
            continue
        texts.add(text)
        key = "%s: %s: %s: %s @%d" % (name, function_at(source, first), lines[line].strip(), what, column)
        keys[key] = keys.get(key, 0) + 1
        yield Mutant(name, line + 1, text, key if keys[key] == 1 else "%s #%d" % (key, keys[key]), "")
