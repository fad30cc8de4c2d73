# SPDX-License-Identifier: MIT
"""A Library to C: stubs with the library's own prototypes, over `runtime.c`.

A stub copies in, calls, copies out; each step does nothing once the call is refused. What it calls, by the names in
`runtime.c`, keeps the invariants that stand there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from model import Bound, Callback, Library, Parameter, Record, Role, Type

#: A name of the size that the program was told: remembered(handle, "what").
REMEMBERED = re.compile(r"\bremembered\(")


def expression(text: str) -> str:
    """C of an annotation."""
    return REMEMBERED.sub("bind_remembered(&call, ", text)


@dataclass
class Steps:
    """The parts of a stub, in order."""

    declare: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)  # once all single values have come out

    def pass_(self, type: str, value: str) -> None:
        self.types.append(type)
        self.values.append(value)


def indent(lines: list[str], depth: int = 1) -> str:
    return "".join("\t" * depth + line + "\n" if line else "\n" for line in lines)


def plain(type: Type) -> str:
    """A scalar's type to declare a variable with: without const."""
    return re.sub(r"\bconst\b ?", "", type.text).strip()


class Emitter:
    """Writes one library's files."""

    def __init__(self, library: Library, sandbox: dict[str, Any]) -> None:
        self.library = library
        self.sandbox = sandbox
        self.prefix = f"{library.name}_sandbox"
        self.index = {bound.function.name: i for i, bound in enumerate(library.bound)}
        self.held: dict[str, bool] = {}

    # ---- Parameters ----

    def _owner(self, role: Role, bound: Bound) -> str:
        if role.owner in ("call", "result"):
            return "bind_call_id(&call)"
        if not role.owner:
            return "0"
        for parameter, one in zip(bound.function.prototype.parameters, bound.roles):
            if parameter.name == role.owner and one.role == "shadow":
                return f"(uint32_t) {role.owner}_at"
        return f"(uint32_t) (uintptr_t) {self._handle_value(role.owner, bound)}"

    @staticmethod
    def _grouped(bound: Bound, role: Role) -> bool:
        """Whether callbacks and the pointer for them come together, and belong to something that gets more of them."""
        both = {one.role for one in bound.roles if one.owner == role.owner}
        return role.owner not in ("call", "result") and {"user", "callback"} <= both

    def _group(self, bound: Bound, steps: Steps) -> None:
        """A number for what one call gives to an owner; what sets forgets what was given before."""
        grouped = [one for one in bound.roles if one.role == "user" and self._grouped(bound, one)]
        if not grouped:
            return
        owner = self._owner(grouped[0], bound)
        steps.declare.append("uint64_t group = 0;")
        steps.before.append(f'group = bind_group(&call, {owner}, "{bound.function.name}");')
        if grouped[0].new:
            steps.last.append(f'bind_group_replace({owner}, "{bound.function.name}", group);')

    @staticmethod
    def _handle_value(name: str, bound: Bound) -> str:
        """A handle among the parameters; of a pointer to one, what it leads to."""
        for parameter in bound.function.prototype.parameters:
            if parameter.name == name and parameter.type.target is not None and parameter.type.target.kind == "pointer":
                return f"({name} ? (const void *) *{name} : NULL)"
        return name

    def _parameter(self, bound: Bound, parameter: Parameter, role: Role, steps: Steps) -> None:
        name, type = parameter.name, parameter.type
        if role.role == "value":
            steps.pass_(plain(type), name)
            return
        if role.role in ("constant", "drop"):
            inner = type.target if type.kind == "pointer" else None
            nulls = role.role == "drop" and inner is not None and inner.kind == "pointer" and not inner.const
            steps.before += [f"if ({name})", f"\t*{name} = NULL;"] if nulls else [f"(void) {name};"]
        if role.role == "constant":
            steps.pass_("lfiptr" if type.kind == "pointer" else plain(type), role.value)
            return
        if role.role == "drop":
            steps.pass_("lfiptr" if type.kind == "pointer" else plain(type), "0")
            return
        steps.declare.append(f"lfiptr {name}_at;")
        steps.pass_("lfiptr", f"{name}_at")
        if role.role == "string":
            steps.before.append(f"{name}_at = bind_string(&call, (const char *) {name});")
        elif role.role == "handle":
            steps.before.append(f"{name}_at = bind_handle(&call, {name});")
            if role.frees:
                steps.last.append(f"bind_drop_handle({name});")
        elif role.role == "user":
            owner = self._owner(role, bound)
            replace = "true" if role.new else "false"
            group = "group" if self._grouped(bound, role) else owner
            steps.before.append(f'{name}_at = bind_user(&call, {name}, {group}, {owner}, "{role.use}", {replace});')
        elif role.role == "callback":
            self._callback_parameter(bound, parameter, role, steps)
        elif role.role == "shadow":
            self._shadow(parameter, role, steps)
        elif role.role in ("rows", "rows_in"):
            self._rows(parameter, role, steps)
        else:
            self._buffer(bound, parameter, role, steps)

    def _callback_parameter(self, bound: Bound, parameter: Parameter, role: Role, steps: Steps) -> None:
        name = parameter.name
        callback = self.library.callbacks[parameter.type.name or f"{bound.function.name}.{name}"]
        steps.before.append(
            f"{name}_at = bind_callback(&call, (void (*)(void)) {name}, callback_{ident(callback.name)}, "
            f'"{signature(callback)}", {"group" if self._grouped(bound, role) else self._owner(role, bound)}, "{name}");'
        )

    def _buffer(self, bound: Bound, parameter: Parameter, role: Role, steps: Steps) -> None:
        name, target = parameter.name, parameter.type.target
        assert target is not None
        item = "1" if target.kind == "void" else f"sizeof *{name}"
        steps.declare += [f"void *{name}_room;", f"size_t {name}_count = {expression(role.length)};"]
        size = f"bind_bytes(&call, {name}_count, {item})"
        if target.opaque:
            self._handles(parameter, role, steps)
            return
        if target.kind == "struct":
            self._structs(parameter, role, steps)
            return
        copy = "bind_out" if role.role == "out" else "bind_in"
        steps.before.append(f"{name}_at = {copy}(&call, {name}, {size}, &{name}_room);")
        if role.role == "in":
            if role.owner:
                steps.before[-1] = f"{name}_at = bind_in_kept(&call, {name}, {size}, {self._owner(role, bound)});"
                steps.declare.remove(f"void *{name}_room;")
            return
        if role.written:
            count = f"bind_written(&call, (size_t) ({expression(role.written)}), {name}_count)"
            steps.last.append(f"bind_take({name}, {name}_room, {count} * {item});")
        else:
            steps.after.append(f"bind_take({name}, {name}_room, {name}_count * {item});")
        if role.remember:
            steps.last.append(f"if ({name})")
            steps.last.append(f'\tbind_remember(&call, {role.of}, "{role.remember}", (uint64_t) *{name});')

    def _handles(self, parameter: Parameter, role: Role, steps: Steps) -> None:
        name = parameter.name
        steps.before.append(f"{name}_at = bind_out(&call, {name}, bind_bytes(&call, {name}_count, 8), &{name}_room);")
        if role.role != "out":
            steps.before += [
                f"for (size_t i = 0; {name}_room && i < {name}_count; i++)",
                f"\t((uint64_t *) {name}_room)[i] = bind_handle(&call, {name}[i]);",
            ]
        if role.frees:
            steps.last += [f"for (size_t i = 0; {name} && i < {name}_count; i++)", f"\tbind_drop_handle({name}_before[i]);"]
            steps.declare.append(f"const void *{name}_before[1] = {{{name} ? *{name} : NULL}};")
        if role.role != "in":
            steps.last += [
                f"for (size_t i = 0; {name}_room && i < {name}_count; i++) {{",
                f"\tlfiptr at = ((const volatile uint64_t *) {name}_room)[i];",
                "",
                *(["\tbind_drop((uint32_t) at);"] if role.creates else []),
                f"\t{name}[i] = bind_show(at);",
                "}",
            ]

    def _structs(self, parameter: Parameter, role: Role, steps: Steps) -> None:
        name, target = parameter.name, parameter.type.target
        assert target is not None and target.record is not None
        record = target.record
        tag = ident(record.name)
        text = record.text
        held = ""
        if self._has_held(record):
            steps.declare.append(f"struct held_{tag} {name}_held = {{0}};")
            held = f", &{name}_held"
        steps.before.append(f"{name}_at = bind_out(&call, {name}, bind_bytes(&call, {name}_count, sizeof *{name}), &{name}_room);")
        if role.role != "out":
            steps.before += [
                f"for (size_t i = 0; {name}_room && i < {name}_count; i++)",
                f"\tput_{tag}(&call, ({text} *) {name}_room + i, {name} + i{held});",
            ]
        if role.role != "in":
            steps.after += [
                f"for (size_t i = 0; {name}_room && i < {name}_count; i++) {{",
                f"\t{text} copy;",
                "",
                f"\tbind_take(&copy, ({text} *) {name}_room + i, sizeof copy);",
                f"\ttake_{tag}(&call, {name} + i, &copy{held});",
                "}",
            ]

    def _shadow(self, parameter: Parameter, role: Role, steps: Steps) -> None:
        name, target = parameter.name, parameter.type.target
        assert target is not None and target.record is not None
        tag = ident(target.record.name)
        text = target.record.text
        held = ""
        if self._has_held(target.record):
            steps.declare.append(f"struct held_{tag} {name}_held = {{0}};")
            held = f", &{name}_held"
        steps.declare.append(f"{text} {name}_copy;")
        if role.new:
            steps.before += [f"if (!call.failed)", f"\tbind_shadow_free({name});"]
        steps.before += [
            f"{name}_at = bind_shadow(&call, {name}, sizeof *{name});",
            f"if ({name}_at && !call.failed) {{",
            f"\tbind_fetch(&call, &{name}_copy, {name}_at, sizeof {name}_copy);",
            f"\tput_{tag}(&call, &{name}_copy, {name}{held});",
            f"\tbind_store(&call, {name}_at, &{name}_copy, sizeof {name}_copy);",
            "}",
        ]
        steps.after += [
            f"if ({name}_at) {{",
            f"\tbind_fetch(&call, &{name}_copy, {name}_at, sizeof {name}_copy);",
            f"\tif (!call.failed)",
            f"\t\ttake_{tag}(&call, {name}, &{name}_copy{held});",
            "}",
        ]
        if role.frees:
            steps.last.append(f"bind_shadow_free({name});")

    def _rows(self, parameter: Parameter, role: Role, steps: Steps) -> None:
        """An array of pointers to rows that the function writes, or reads; `count` is how many, `length` the bytes of each."""
        name = parameter.name
        steps.declare += [f"void *{name}_room, *{name}_rows = NULL;", f"size_t {name}_count = {expression(role.count)};", f"size_t {name}_bytes = {expression(role.length)};"]
        steps.before += [
            f"{name}_at = bind_out(&call, {name}, bind_bytes(&call, {name}_count, 8), &{name}_room);",
            f"if ({name}_room) {{",
            "\tlfiptr rows_at;",
            "",
            f"\trows_at = bind_out(&call, {name}, bind_bytes(&call, {name}_count, {name}_bytes), &{name}_rows);",
            f"\tfor (size_t i = 0; {name}_rows && i < {name}_count; i++)",
            f"\t\t((uint64_t *) {name}_room)[i] = rows_at + i * {name}_bytes;",
            "}",
        ]
        if role.role == "rows_in":
            steps.before += [
                f"for (size_t i = 0; {name}_rows && i < {name}_count; i++)",
                f"\tmemcpy((char *) {name}_rows + i * {name}_bytes, {name}[i], {name}_bytes);",
            ]
            return
        steps.after += [
            f"for (size_t i = 0; {name}_rows && i < {name}_count; i++)",
            f"\tbind_take({name}[i], (char *) {name}_rows + i * {name}_bytes, {name}_bytes);",
        ]

    # ---- Stubs ----

    def _value(self, bound: Bound) -> str:
        """What a function returns when the sandbox failed."""
        type = bound.function.prototype.result
        if bound.on_failure:
            return f"return {bound.on_failure};"
        if bound.function.prototype.noreturn:
            return "abort();"
        if type.kind == "void":
            return "return;"
        return "return NULL;" if type.kind == "pointer" else f"return ({plain(type)}) 0;"

    def _head(self, bound: Bound) -> str:
        prototype = bound.function.prototype
        parameters = ", ".join(one.type.declare(one.name) for one in prototype.parameters) or "void"
        if prototype.variadic:
            parameters += ", ..."
        result = prototype.result.text
        return f"{result}\n({bound.function.name})({parameters})\n"

    def stub(self, bound: Bound) -> str:
        if bound.result.role == "longjmp":
            return self._longjmp(bound)
        steps = Steps()
        if bound.printf:
            self._printf_start(bound, steps)
        self._group(bound, steps)
        for parameter, role in zip(bound.function.prototype.parameters, bound.roles):
            self._parameter(bound, parameter, role, steps)
        if bound.printf:
            self._printf_end(bound, steps)
        direct = not steps.before and not steps.after and bound.result.role == "value" and not bound.remember
        result, finish = self._result(bound, steps)
        for name, value in bound.remember.items():
            if name != "of":
                steps.last.append(f'bind_remember(&call, {bound.remember["of"]}, "{name}", (uint64_t) ({expression(value)}));')
        for name in bound.drops:
            steps.last.append(f"bind_drop_texts({self._handle_value(name, bound)});")
        function = bound.function
        variable = "" if not result else "result"
        invoke_type = "void" if not result else result
        arguments = f"({', '.join(steps.types) or 'void'})"
        if len(steps.types) > 16:
            raise ValueError(f"{function.place}: {function.name} has more than 16 parameters")
        values = "".join(f", {one}" for one in steps.values)
        call = f"LFI_INVOKE(bind.box, &bind_self.ctx, bind.fn[{self.index[function.name]}], {invoke_type}, {arguments}{values});"
        lines = ["struct bind_call call;"]
        if result:
            lines.append(f"{result} result = 0;")
        enter = f'bind_enter(&call, "{function.name}");'
        has_value = "true" if bound.on_failure else "false"
        fail = ["if (call.failed) {", f"\tbind_failed(&call, {has_value});", f"\t{self._value(bound)}", "}"]
        if direct:
            assign = f"{'result = ' if variable else ''}{call}"
            lines += ["", enter, "if (!call.failed) {", f"\t{assign}", "\tbind_leave(&call);", "}", *fail, *finish]
            return self._head(bound) + "{\n" + indent(lines) + "}\n"
        # Sizes that are remembered, or are a pointer's, are taken once the call is there.
        plain_declares = [re.sub(r" = .*;$", ";", one) if "_count = " in one or "_bytes = " in one else one for one in steps.declare]
        sizes = [one.replace("size_t ", "", 1) for one in steps.declare if "_count = " in one or "_bytes = " in one]
        lines += plain_declares
        lines += ["", enter, *sizes, *steps.before, "if (!call.failed) {"]
        lines += [f"\t{'result = ' if variable else ''}{call}", "\tbind_leave(&call);", "}"]
        if steps.after:
            lines += ["if (!call.failed) {", *["\t" + one if one else one for one in steps.after], "}"]
        if steps.last:
            lines += ["if (!call.failed) {", *["\t" + one if one else one for one in steps.last], "}"]
        lines += self._forget(bound)
        lines += [*fail, "bind_done(&call);", *finish]
        return self._head(bound) + "{\n" + indent(lines) + "}\n"

    @staticmethod
    def _forget(bound: Bound) -> list[str]:
        """What lived for the call only."""
        if any(role.owner == "call" for role in bound.roles):
            return ["if (call.id)", "\tbind_drop(call.id);"]
        return []

    def _result(self, bound: Bound, steps: Steps) -> tuple[str, list[str]]:
        """The type that the call returns, and the statements that return."""
        type, role = bound.function.prototype.result, bound.result
        if type.kind == "void":
            return "", ["abort(); /* it does not return */"] if bound.function.prototype.noreturn else []
        if role.role == "value":
            if role.remember:
                steps.last.append(f'bind_remember(&call, {role.of}, "{role.remember}", (uint64_t) result);')
            return plain(type), ["return result;"]
        if role.role == "drop":
            return "lfiptr", ["(void) result;", "return NULL;"]
        if role.role == "handle":
            if role.creates:
                steps.last.append("bind_drop((uint32_t) result);")
            steps.last.append("bind_adopt(&call, result);")
            return "lfiptr", ["return bind_show(result);"]
        if role.role == "same":
            return "lfiptr", [f"return result ? {role.of} : NULL;"]
        if role.owner == "callback":
            kind = "char *text = NULL;" if role.role == "string" else "void *text = NULL;"
            steps.declare.append(kind)
            how = "bind_text_here(&call, result)" if role.role == "string" else f'bind_user_here(&call, result, "{role.use}")'
            steps.last.append(f"text = {how};")
            return "lfiptr", [f"return ({type.text}) text;"]
        owner = self._owner(role, bound)
        if role.role == "string":
            steps.declare.append("char *text = NULL;")
            steps.last.append(f'text = bind_keep_text(&call, result, {owner}, "");')
            return "lfiptr", [f"return ({plain(type) if 'const' not in type.text else type.text}) text;"]
        steps.declare.append("void *pointer = NULL;")
        steps.last.append(f'pointer = bind_take_user(&call, result, {owner}, "{role.use}");')
        return "lfiptr", ["return pointer;"]

    @staticmethod
    def _printf_start(bound: Bound, steps: Steps) -> None:
        steps.declare += ["char *text = NULL;", "va_list list;"]
        steps.before += [
            f"va_start(list, {bound.function.prototype.parameters[-1].name});",
            f"if (vasprintf(&text, {bound.printf}, list) < 0)",
            '\tbind_refuse(&call, LFI_ERR_NOMEM, "no memory for text");',
            "va_end(list);",
        ]

    @staticmethod
    def _printf_end(bound: Bound, steps: Steps) -> None:
        """The program formats; the library gets "%s" and the text."""
        steps.before = [one.replace(f"(const char *) {bound.printf})", '"%s")') for one in steps.before]
        steps.declare.append("lfiptr text_at;")
        steps.before += ["text_at = bind_string(&call, text);", "free(text);"]
        steps.pass_("lfiptr", "text_at")

    def _longjmp(self, bound: Bound) -> str:
        """The program calls setjmp on what this returns. In the sandbox, the library calls a callback to jump."""
        handle, jump, size = (one.name for one in bound.function.prototype.parameters)
        lines = [
            "struct bind_call call;", "jmp_buf *env = NULL;", f"lfiptr {handle}_at, jump_at;", "",
            f'bind_enter(&call, "{bound.function.name}");',
            f"{handle}_at = bind_handle(&call, {handle});",
            f"(void) {jump};",
            f"if ({handle}_at && {size} == sizeof *env)",
            f"\tenv = bind_jump_set(&call, {handle}, __builtin_frame_address(0));",
            "if (env) {",
            f"\tjump_at = bind_callback(&call, (void (*)(void)) (uintptr_t) {handle}_at, bind_jump_callback, \"v(pi)\", "
            f"(uint32_t) {handle}_at, \"longjmp\");",
            f"\tif (!call.failed) {{",
            f"\t\t(void) LFI_INVOKE(bind.box, &bind_self.ctx, bind.fn[{self.index[bound.function.name]}], lfiptr, "
            f"(lfiptr, lfiptr, size_t), {handle}_at, jump_at, {size});",
            "\t\tbind_leave(&call);", "\t}", "}",
            "if (call.failed) {", "\tbind_failed(&call, false);", "\treturn NULL;", "}", "bind_done(&call);", "return env;",
        ]
        return self._head(bound) + "{\n" + indent(lines) + "}\n"

    # ---- Structs ----

    def _has_held(self, record: Record) -> bool:
        return any(one.role in ("cursor_in", "cursor_out") for one in self.library.members[record.name].values())

    def struct(self, record: Record) -> str:
        """put_ and take_: one member after the other, so that nothing else is copied, padding neither."""
        tag, roles = ident(record.name), self.library.members[record.name]
        held = [name for name, role in roles.items() if role.role in ("cursor_in", "cursor_out")]
        out = ""
        extra = ""
        if held:
            members = [f"size_t {name}_count; void *{name}_room;" for name in held]
            out += f"struct held_{tag} {{\n" + indent(members) + "};\n\n"
            extra = f", struct held_{tag} *held"
        put: list[str] = ["(void) call;"]
        take: list[str] = ["(void) call;"]
        for one in record.fields:
            self._member(record, one.name, one.type, roles[one.name], put, take)
        text = record.text
        unused = "__attribute__((unused)) "
        out += f"static {unused}void\nput_{tag}(struct bind_call *call, {text} *to, const {text} *from{extra})\n{{\n{indent(put)}}}\n\n"
        out += f"static {unused}void\ntake_{tag}(struct bind_call *call, {text} *to, const {text} *from{extra})\n{{\n{indent(take)}}}\n\n"
        return out

    @staticmethod
    def _member(record: Record, name: str, type: Type, role: Role, put: list[str], take: list[str]) -> None:
        if role.role == "inside":
            return
        if role.role == "drop":
            put.append(f"memset(&to->{name}, 0, sizeof to->{name});")
        elif role.role == "value" and type.kind == "array":
            put.append(f"memcpy(to->{name}, from->{name}, sizeof to->{name});")
            take.append(f"memcpy(to->{name}, from->{name}, sizeof to->{name});")
            if type.target is not None and type.target.char and not type.const:
                take.append(f"to->{name}[sizeof to->{name} - 1] = 0; /* text has an end */") if role.use == "text" else None
        elif role.role == "value" and type.kind == "struct":
            assert type.record is not None
            put.append(f"put_{ident(type.record.name)}(call, &to->{name}, &from->{name});")
            take.append(f"take_{ident(type.record.name)}(call, &to->{name}, &from->{name});")
        elif role.role == "value":
            put.append(f"to->{name} = from->{name};")
            if not any(r.role in ("cursor_in", "cursor_out") and r.length == name for r in record_roles(record)):
                take.append(f"to->{name} = from->{name};")
        elif role.role == "handle":
            put.append(f"to->{name} = (void *) (uintptr_t) bind_handle(call, from->{name});")
            take.append(f"to->{name} = bind_show((uintptr_t) from->{name});")
        elif role.role == "string":
            put.append(f"to->{name} = (void *) (uintptr_t) bind_string(call, (const char *) from->{name});") if role.use == "in" else put.append(f"to->{name} = NULL;")
            if role.use != "in":
                take.append(f'to->{name} = (void *) bind_keep_text(call, (uintptr_t) from->{name}, 0, "");')
        elif role.role == "cursor_in":
            put += [
                f"held->{name}_count = from->{role.length};",
                f"to->{name} = (void *) (uintptr_t) bind_in(call, from->{name}, from->{role.length}, &held->{name}_room);",
            ]
            take += cursor(name, role.length)
        else:
            put += [
                f"held->{name}_count = from->{role.length};",
                f"to->{name} = (void *) (uintptr_t) bind_out(call, from->{name}, from->{role.length}, &held->{name}_room);",
            ]
            take += cursor(name, role.length, f"bind_take(to->{name}, held->{name}_room, held->{name}_count - from->{role.length});")

    # ---- Callbacks ----

    def callback(self, callback: Callback) -> str:
        name = ident(callback.name)
        prototype = callback.prototype
        declare = [f"{callback_type(callback)} = ({cast_type(callback)}) bind_callback->fn;"]
        after: list[str] = []
        values = []
        for i, (parameter, role) in enumerate(zip(prototype.parameters, callback.roles)):
            self._callback_parameter_in(i, parameter, role, declare, after)
            values.append(parameter.name)
        call = f"bind_fn({', '.join(values)})"
        result, kind = callback.result, prototype.result
        assert result is not None
        body = ["(void) call;", "(void) bind_args;", "(void) bind_ret;"]
        if kind.kind == "void":
            body += [f"{call};", *after]
        elif result.role == "drop":
            body += [f"(void) {call};", *after]
        elif result.role == "handle":
            declare.append("const void *result;")
            body += [f"result = {call};", *after, "bind_ret->u = bind_handle(&call, result);", "if (call.failed)", "\tbind_frame_refuse(\"the program returns no handle\");"]
            declare.append("struct bind_call call = {0};")
            body.remove("(void) call;")
        else:
            member = {"f": "f", "d": "d"}.get(kind.letter, "u" if kind.letter.isupper() or kind.letter == "?" else "i")
            declare.append(f"{plain(kind)} result;")
            body += [f"result = {call};", *after, f"bind_ret->{member} = result;"]
        if "(void) call;" in body:
            body.remove("(void) call;")
        text = (
            f"static void\nrun_{name}(const struct bind_callback *bind_callback, const union LFIValue *bind_args, union LFIValue *bind_ret)\n{{\n"
            + indent(declare) + "\n" + indent(body) + "}\n\n"
        )
        text += f"static void\ncallback_{name}(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)\n{{\n"
        text += indent([
            "struct bind_frame frame;", "",
            f'bind_frame_push(&frame, user, "{callback.name}");',
            "if (_setjmp(frame.env) == 0)",
            f"\trun_{name}(user, args, ret);",
            "else",
            "\tlfi_ctx_end_call(ctx);",
            "bind_frame_pop(&frame);",
        ])
        return text + "}\n\n"

    @staticmethod
    def _callback_parameter_in(i: int, parameter: Parameter, role: Role, declare: list[str], after: list[str]) -> None:
        type, name = parameter.type, parameter.name
        if type.kind == "array":
            assert type.target is not None
            declared = f"{type.target.text} *{name}"
        else:
            declared = type.declare(name)
        cast = f"({type.text}) " if type.kind == "pointer" and "(*)" not in type.text else ""
        at = f"bind_args[{i}].u"
        if role.role == "value":
            member = {"f": "f", "d": "d"}.get(type.letter, "u" if type.letter.isupper() or type.letter == "?" else "i")
            value = f"*(long double *) bind_args[{i}].p" if type.letter == "D" else f"({plain(type)}) bind_args[{i}].{member}"
        elif role.role == "string":
            value = f"{cast}bind_frame_text({at})"
        elif role.role == "strings":
            most = f"(size_t) ({role.length})" if role.length else "SIZE_MAX"
            value = f"{cast}bind_frame_texts({at}, {most})"
        elif role.role == "handle":
            value = f"bind_show({at})"
        elif role.role == "user":
            value = f'bind_frame_user({at}, bind_callback, "{role.use}")'
        elif role.role == "drop":
            value = "NULL"
        else:
            assert type.target is not None
            item = "1" if type.target.kind == "void" else f"sizeof ({plain(type.target)})"
            length = callback_length(role.length or "1")
            how = "bind_frame_out" if role.role == "out" else "bind_frame_in"
            declare.append(f"const size_t {name}_count = (size_t) ({length});")
            value = f"{cast}{how}({at}, {name}_count, {item})"
            if type.target.opaque:
                value = f"bind_frame_handles({at}, {name}_count)"
            if role.role != "in":
                after.append(f"bind_frame_give({at}, {name}, {name}_count * {item});")
        # Lengths are other parameters': those of numbers come first.
        line = f"{declared} = {value};"
        if role.role == "value":
            declare.insert(1, line)
        else:
            declare.append(line)

    # ---- Files ----

    def source(self, runtime: str, headers: list[str]) -> str:
        library, sandbox = self.library, self.sandbox
        directories = "".join(f'"{one}", ' for one in sandbox.get("directories", []))
        stdio = "0, 1, 2" if sandbox.get("stdio") else "-1, -1, -1"
        lazy = "1" if sandbox.get("start", "lazy") == "lazy" else "0"
        out = [
            f"/* {library.name} in a sandbox: stubs made by lfi-bind. Do not edit: change what they were made of. */",
            "#ifndef _GNU_SOURCE", "#define _GNU_SOURCE", "#endif",
            *[f'#include "{one}"' for one in headers],
            f'#include "{self.prefix}.h"', "",
            "#include <lfi/lfi.h>", "#include <pthread.h>", "#include <setjmp.h>", "#include <stdarg.h>", "#include <stdbool.h>",
            "#include <stddef.h>", "#include <stdint.h>", "#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>",
            "#include <sys/random.h>", "#include <unistd.h>", "",
            f'#define BIND_NAME "{library.name}"',
            f"#define BIND_HANDLER {self.prefix}_handler",
            f"#define BIND_FUNCTIONS {max(len(library.bound), 1)}",
            f"#define BIND_LAZY {lazy}",
            f"#define BIND_STDIO {stdio}",
            f"#define BIND_MEMORY {int(sandbox.get('memory_limit', 0))}ull", "",
            "/* The program for the sandbox. */",
            '__asm__(".pushsection .rodata\\n\\t.balign 64\\nbind_image_' + library.name + ':\\n\\t.incbin \\"' + library.name
            + '.lfi\\"\\nbind_image_end_' + library.name + ':\\n\\t.popsection\\n");',
            f"extern const uint8_t bind_image[] __asm__(\"bind_image_{library.name}\");",
            f"extern const uint8_t bind_image_end[] __asm__(\"bind_image_end_{library.name}\");", "",
            f"static const char *bind_directories[] = {{{directories}NULL}};",
            "static const char *const bind_names[BIND_FUNCTIONS] = {",
            *[f'\t"{bound.function.name}",' for bound in library.bound],
            *([] if library.bound else ['\t"malloc",']), "};", "",
        ]
        text = "\n".join(out) + "\n" + runtime + "\n/* ---- Structs ---- */\n\n"
        for record in self._ordered():
            text += self.struct(record)
        text += "/* ---- Callbacks ---- */\n\n"
        for callback in library.callbacks.values():
            text += self.callback(callback)
        if library.jumps:
            text += JUMP
        text += f"/* ---- {library.name} ---- */\n"
        for bound in library.bound:
            text += "\n" + self.stub(bound)
        return text + self._control()

    def _ordered(self) -> list[Record]:
        """Structs, those that are members before those that have them."""
        done: list[Record] = []

        def visit(record: Record) -> None:
            for one in record.fields:
                inner = one.type.record
                if one.type.kind == "struct" and inner is not None and inner.name in self.library.members:
                    visit(inner)
            if record not in done:
                done.append(record)

        for record in self.library.records.values():
            visit(record)
        return done

    def _control(self) -> str:
        prefix = self.prefix
        eager = ""
        if self.sandbox.get("start") == "eager":
            eager = f"\nstatic __attribute__((constructor)) void\nbind_eager(void)\n{{\n\tbind_start();\n}}\n"
        return f"""
/* ---- What the program may say to the sandbox ---- */

bool
{prefix}_start(void)
{{
	return bind_start();
}}

const char *
{prefix}_message(void)
{{
	return bind.why;
}}

bool
{prefix}_restart(void)
{{
	return bind_restart();
}}

void
{prefix}_on_failure({prefix}_handler handler, void *user)
{{
	bind.handler_user = user;
	bind.handler = handler;
}}

struct LFIBox *
{prefix}_box(void)
{{
	return bind.box;
}}

uint64_t
{prefix}_symbol(const char *name)
{{
	return bind.proc ? lfi_proc_sym(bind.proc, name) : 0;
}}
{eager}"""

    def header(self) -> str:
        prefix = self.prefix
        guard = f"{prefix.upper()}_H"
        start = {
            "lazy": "It starts at the first call of the library by itself; this is for starting it earlier.",
            "eager": "It starts before main by itself.",
            "explicit": "Calls before it fail.",
        }[self.sandbox.get("start", "lazy")]
        return f"""/* The sandbox of {self.library.name}, beside the library's own header. Made by lfi-bind. */
#ifndef {guard}
#define {guard}

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

struct LFIBox;

/**
 * The sandbox failed in `function`: it trapped, was stopped, or gave what cannot be true. It runs on the thread that
 * called, after the sandbox was left, and may longjmp when no callback of the library is running.
 *
 * @param code    enum LFIErrorCode
 * @param message what happened; valid until the handler returns
 * @param user    what {prefix}_on_failure was given
 */
typedef void (*{prefix}_handler)(const char *function, int code, const char *message, void *user);

/**
 * What is called when the sandbox fails; when it returns, the function of the library returns the value that its
 * annotation says, or zeros. Without a handler, functions with such a value return it, and others write the message to stderr and
 * abort. Not while other threads call the library.
 */
void {prefix}_on_failure({prefix}_handler handler, void *user);

/**
 * Start the sandbox; again is fine, from any thread. {start}
 *
 * @return false: it cannot start, and {prefix}_message says why
 */
bool {prefix}_start(void);

/** Why it could not start; "" when it did. */
const char *{prefix}_message(void);

/**
 * A new sandbox in place of one that failed: after a fault, nothing in it is to be relied on. What the library knew is gone:
 * handles from before are refused. Not while another thread calls the library, and not in a callback.
 *
 * @return false: in a callback, or it cannot start, and {prefix}_message says why
 */
bool {prefix}_restart(void);

/** The sandbox, for limits, statistics and interruption (lfi/lfi_core.h); NULL before it started. It is not the program's to free. */
struct LFIBox *{prefix}_box(void);

/** Where a function of the library is, for calls by LFI_INVOKE and the like; 0 when it is not there. An lfiptr. */
uint64_t {prefix}_symbol(const char *name);

#ifdef __cplusplus
}}
#endif

#endif
"""

    # ---- Handles as types of their own ----

    def handles(self, headers: list[str]) -> str:
        """A header by which what is a handle is a struct: no pointer of the program's can be passed for it."""
        library = self.library
        guard = f"{library.name.upper()}_HANDLES_H"
        wrappers, names = "", []
        records: dict[str, Record] = {}
        for bound in library.bound:
            if any(self._handle_record(one.type, role) for one, role in self._typed(bound)) and not bound.function.prototype.variadic:
                wrappers += self._wrapper(bound, records)
                names.append(bound.function.name)
        out = [
            f"/* {library.name} whose handles are types of their own. Made by lfi-bind; include it instead of the library's header. */",
            f"#ifndef {guard}", f"#define {guard}", "", *[f"#include <{one}>" for one in headers], "#include <stdint.h>", "",
        ]
        for record in records.values():
            tag = self._tag(record)
            out += [
                f"/* For the library's {record.text} *, which is in the sandbox. */",
                f"struct {tag} {{", "\tuint64_t value;", "};", "",
                "/* Of what a callback gets. */",
                f"static inline struct {tag}", f"{tag}_of(const {record.text} *handle)", "{",
                f"\tstruct {tag} made = {{(uintptr_t) handle}};", "", "\treturn made;", "}", "",
            ]
        text = "\n".join(out) + "\n" + wrappers
        for name in names:
            text += f"#undef {name}\n#define {name} {library.name}_handles_{name}\n"
        return text + "\n#endif\n"

    def _tag(self, record: Record) -> str:
        return f"{self.library.name}_{ident(record.name)}"

    @staticmethod
    def _typed(bound: Bound) -> list[tuple[Any, Role]]:
        result = Parameter("", bound.function.prototype.result, bound.function.place)
        return [*zip(bound.function.prototype.parameters, bound.roles), (result, bound.result)]

    @staticmethod
    def _handle_record(type: Type, role: Role) -> Record | None:
        """What a handle, or a pointer to one handle, leads to."""
        if role.role == "handle" and type.opaque and type.target is not None:
            return type.target.record
        inner = type.target
        if role.role in ("in", "out", "inout") and role.length == "1" and inner is not None and inner.opaque and inner.target is not None:
            return inner.target.record
        return None

    def _wrapper(self, bound: Bound, records: dict[str, Record]) -> str:
        function = bound.function
        declare, arguments, before, after = [], [], [], []
        for parameter, role in zip(function.prototype.parameters, bound.roles):
            record = self._handle_record(parameter.type, role)
            name = parameter.name
            if record is None:
                declare.append(parameter.type.declare(name))
                arguments.append(name)
                continue
            records[record.name] = record
            if role.role == "handle":
                declare.append(f"struct {self._tag(record)} {name}")
                arguments.append(f"(void *) (uintptr_t) {name}.value")
                continue
            declare.append(f"struct {self._tag(record)} *{name}")
            before.append(f"{record.text} *{name}_raw = {name} ? (void *) (uintptr_t) {name}->value : NULL;")
            arguments.append(f"{name} ? &{name}_raw : NULL")
            after += [f"if ({name})", f"\t{name}->value = (uintptr_t) {name}_raw;"]
        record = self._handle_record(function.prototype.result, bound.result)
        call = f"{function.name}({', '.join(arguments)})"
        result = function.prototype.result.text
        if record is not None:
            records[record.name] = record
            result = f"struct {self._tag(record)}"
            call = f"{self._tag(record)}_of({call})"
        if function.prototype.result.kind == "void":
            body = [*before, f"{call};", *after]
        elif after:
            body = [*before, f"{result} result_ = {call};", "", *after, "return result_;"]
        else:
            body = [*before, f"return {call};"]
        return f"static inline {result}\n{self.library.name}_handles_{function.name}({', '.join(declare) or 'void'})\n{{\n{indent(body)}}}\n\n"


JUMP = """/* The library's longjmp. */
static void
bind_jump_callback(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	const struct bind_callback *callback = user;

	(void) ret;
	bind_jump_wanted(ctx, (uint32_t) (uintptr_t) callback->fn, (int) args[1].i);
}

"""


def ident(name: str) -> str:
    return re.sub(r"\W", "_", name)


def record_roles(record: Record) -> list[Role]:
    return RECORD_ROLES.get(record.name, [])


#: Roles of members, for those that are written with another member; set by `prepare`.
RECORD_ROLES: dict[str, list[Role]] = {}


def prepare(library: Library) -> None:
    for name, roles in library.members.items():
        RECORD_ROLES[name] = list(roles.values())


def cursor(name: str, length: str, copy: str = "") -> list[str]:
    """The program's pointer goes on by what the library says that it used, which cannot be more than there was."""
    return [
        f"if (from->{length} > held->{name}_count) {{",
        f'\tbind_refuse(call, LFI_ERR_RANGE, "the library says that more is left of {name} than there was");',
        "\treturn;", "}",
        *([copy] if copy else []),
        f"if (to->{name})",
        f"\tto->{name} += held->{name}_count - from->{length};",
        f"to->{length} = from->{length};",
    ]


def signature(callback: Callback) -> str:
    prototype = callback.prototype
    letters = "".join("p" if one.type.kind in ("pointer", "array", "function") else one.type.letter for one in prototype.parameters)
    return f"{prototype.result.letter}({letters})"


def callback_type(callback: Callback) -> str:
    """A variable `fn` of the callback's type."""
    return f"{cast_type(callback).replace('(*)', '(*bind_fn)', 1)}"


def cast_type(callback: Callback) -> str:
    prototype = callback.prototype
    parameters = ", ".join(one.type.declare("").strip() if "(*)" not in one.type.text else one.type.text for one in prototype.parameters) or "void"
    return f"{prototype.result.text} (*)({parameters})"


def callback_length(text: str) -> str:
    return text
