"""A piece of code -> the names it uses, when it is executed and when it is called later.

Names are resolved as Python does: locals of functions, comprehensions and classes are not
global names; a global name used in a function is looked up when the function runs. For
every use it is kept how the object may be treated: read, called, handed on, changed, rebound.
"""

import ast
from collections.abc import Callable, Iterable
from typing import Any

from chains_analysis.collector import Collector, Scope
from chains_analysis.imports import Import, absolute, dotted, statement_imports
from chains_analysis.parsing import parse_expression
from chains_analysis.scopes import (
    Comprehension,
    FunctionNode,
    bound_names,
    first_parameter,
    function_locals,
)
from chains_analysis.uses import ELEMENT, Ref, Role, Use
from chains_analysis.vocabulary import (
    DOC_KEYWORDS,
    PURE_BUILTINS,
    READING_METHODS,
    REFLECTION,
)

_HANDED_IN = Use.PASS | Use.ARGUMENT


class UseReader(Collector):
    """Walks statements and collects `Uses`; one reader for one piece of code."""

    # -- statements

    def statements(self, nodes: Iterable[ast.stmt]) -> None:
        for node in nodes:
            self.statement(node)

    def statement(self, node: ast.AST) -> None:
        """Collect from one statement, or from any part of one that is not an expression."""
        handler = _STATEMENTS.get(type(node))
        if handler is not None:
            handler(self, node)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.expression(child)
            else:
                self.statement(child)

    def head(self, node: FunctionNode) -> None:
        """A function's decorators, defaults and annotations."""
        for decorator in node.decorator_list:
            self.expression(decorator, Use.CALL | Use.PASS)
            if not isinstance(decorator, ast.Call):
                self.note_start(dotted(decorator))
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.expression(default)
        arguments = node.args
        every = (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            arguments.vararg,
            arguments.kwarg,
        )
        annotations = [a.annotation for a in every if a is not None] + [node.returns]
        for annotation in annotations:
            if annotation is not None:
                self.annotation(annotation)

    def body(self, node: FunctionNode, own: str | None = None) -> None:
        """A function's body; `own` is the parameter that holds its instance or class."""
        names, outer = function_locals(node)
        self.enter(Scope(names, outer, own=own))
        self.statements(node.body)
        self.leave()

    def _function(self, node: FunctionNode) -> None:
        self.head(node)
        self.body(node)

    def _class(self, node: ast.ClassDef) -> None:
        self.class_head(node)
        self.scopes.append(Scope(bound_names(node.body), is_class=True))
        self.statements(node.body)
        self.scopes.pop()

    def class_head(self, node: ast.ClassDef) -> None:
        """A class statement's decorators, bases and keywords."""
        for item in (*node.decorator_list, *(k.value for k in node.keywords)):
            self.expression(item, Use.CALL | Use.PASS)
        for base in node.bases:
            self.expression(base)

    def _assign(self, node: ast.Assign) -> None:
        self.expression(node.value, Use.PASS)
        for target in node.targets:
            self._target(target)

    def _augmented(self, node: ast.AugAssign) -> None:
        self.expression(node.value)
        if isinstance(node.target, ast.Name):
            self.name(node.target.id, (), Use.STORE, Role.PLAIN)
        self._target(node.target)

    def _annotated(self, node: ast.AnnAssign) -> None:
        in_function = self.depth > 0 and not (self.scopes and self.scopes[-1].is_class)
        if not in_function:  # there no annotation is ever evaluated
            self.annotation(node.annotation)
        if node.value is not None:
            self.expression(node.value, Use.PASS)
        self._target(node.target)

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._target(target)

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        self.expression(node.iter, Use.PASS)
        self._target(node.target)
        self.statements((*node.body, *node.orelse))

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.expression(item.context_expr, Use.CALL | Use.PASS)
            if item.optional_vars is not None:
                self._target(item.optional_vars)
        self.statements(node.body)

    def _return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.expression(node.value, Use.PASS)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if not self.depth and not self.scopes:
            return  # a binding of the module; the symbol table has it
        for alias, imported in zip(node.names, statement_imports(node), strict=True):
            target = absolute(imported, self.where.module, self.where.is_package)
            if target is not None:
                self.lazy.add(target)
                self._bind_module(alias, imported, target)

    def _bind_module(self, alias: ast.alias, imported: Import, target: str) -> None:
        local = alias.asname or alias.name.split(".")[0]
        chain: tuple[str, ...] = ()
        bound: tuple[str, ...] = ()
        if imported.name is not None:
            module, bound = target, (imported.name,)
            self.lazy.add(f"{target}.{imported.name}")
        else:
            module = target if alias.asname else local
            chain = () if alias.asname else tuple(target.split(".")[1:])
        scope = self.scopes[-1] if self.scopes else None
        if scope is not None and local not in scope.outer:
            scope.modules[local] = (module, bound)
        self.add(Ref(module, bound or chain, is_module=True))

    def annotation(self, node: ast.expr) -> None:
        """Collect from an annotation, which nothing may ever evaluate."""
        deferred = self.where.has_lazy_annotations
        self.depth += deferred
        self.expression(node, Use.READ, Role.ANNOTATION)
        self.depth -= deferred

    def _target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Name):
            if any(node.id in scope.outer for scope in self.scopes) and not self.is_local(node.id):
                self.add(Ref(node.id, (), Use.REBIND))
        elif isinstance(node, ast.Attribute | ast.Subscript):
            self._chain(node, Use.STORE, Role.PLAIN)
        elif isinstance(node, ast.Starred):
            self._target(node.value)
        elif isinstance(node, ast.Tuple | ast.List):
            for item in node.elts:
                self._target(item)

    # -- expressions

    def expression(self, node: ast.expr, use: Use = Use.READ, role: Role = Role.PLAIN) -> None:
        """Collect from one expression whose value is used like `use`."""
        if isinstance(node, ast.Name):
            self.name(node.id, (), use, role)
        elif isinstance(node, ast.Attribute | ast.Subscript):
            self._chain(node, use, role)
        elif isinstance(node, ast.Call):
            self._called(node, use, role)
        elif isinstance(node, ast.Constant):
            self._constant(node, role)
        elif isinstance(node, ast.Lambda):
            self._lambda(node)
        elif isinstance(node, Comprehension):
            self._comprehension(node)
        else:
            self._compound(node, use, role)

    def _compound(self, node: ast.expr, use: Use, role: Role) -> None:
        hands_on = isinstance(
            node,
            ast.List
            | ast.Tuple
            | ast.Set
            | ast.Dict
            | ast.Starred
            | ast.IfExp
            | ast.BoolOp
            | ast.Await
            | ast.NamedExpr,
        )
        inner = use if hands_on else Use.PASS if isinstance(node, ast.Yield | ast.YieldFrom) else Use.READ
        if isinstance(node, ast.NamedExpr):
            self._target(node.target)
            self.expression(node.value, use | Use.PASS, role)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.expression(child, inner, role)

    def _constant(self, node: ast.Constant, role: Role) -> None:
        if role is Role.ANNOTATION and isinstance(node.value, str):
            parsed = parse_expression(node.value)
            if parsed is not None:
                self.depth += 1  # whoever reads it does so later
                self.expression(parsed, Use.READ, role)
                self.depth -= 1

    def _lambda(self, node: ast.Lambda) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.expression(default)
        names, outer = function_locals(node)
        self.enter(Scope(names, outer))
        self.expression(node.body, Use.PASS)
        self.leave()

    def _comprehension(self, node: Comprehension) -> None:
        self.expression(node.generators[0].iter, Use.PASS)  # evaluated outside
        self.scopes.append(Scope(set()))
        for position, generator in enumerate(node.generators):
            if position:
                self.expression(generator.iter, Use.PASS)
            self.scopes[-1].names |= bound_names([generator.target])
            self._target(generator.target)
            for condition in generator.ifs:
                self.expression(condition)
        results = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        for result in results:
            self.expression(result, Use.PASS)
        self.scopes.pop()

    def _called(self, node: ast.Call, use: Use, role: Role) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        self.note_start((*dotted(node.func)[:-1], name) if dotted(node.func) else (name,))
        if isinstance(node.func, ast.Name) and not self.is_local(name) and self._builtin(node, name, use):
            return
        if name == "import_module" and node.args and isinstance(node.args[0], ast.Constant):
            self._module_by_name(node.args[0].value)
        self.expression(node.func, Use.CALL | (use & Use.PASS))
        for position, argument in enumerate(node.args):
            self._argument(argument, role, is_edge=name == "depends" and position == 0)
        for keyword in node.keywords:
            self._argument(keyword.value, role, is_edge=name == "depends" and keyword.arg == "chainlet_cls")
            if keyword.arg in DOC_KEYWORDS:
                self.flags.add("docs")

    def _argument(self, node: ast.expr, role: Role, is_edge: bool) -> None:
        if is_edge:
            self.expression(node, Use.READ, Role.DEPENDENCY)
        else:
            self.expression(node, _HANDED_IN, role)

    def _builtin(self, node: ast.Call, name: str, use: Use) -> bool:
        """Handle the builtins that matter; True if the call needs no further look."""
        if name in ("globals", "locals", "vars", "dir") and not node.args:
            self.give_up(node, f"calls `{name}()`", own_module=True)
        elif name in ("exec", "eval") and node.args and isinstance(node.args[0], ast.Constant):
            self.give_up(node, f"calls `{name}`", own_module=True)
        elif name == "__import__" and node.args and isinstance(node.args[0], ast.Constant):
            self._module_by_name(node.args[0].value)
        elif name in ("getattr", "hasattr", "setattr", "delattr") and len(node.args) >= 2:
            self._reflective(node, name, use)
            return True
        elif name == "super":
            return True
        if name in PURE_BUILTINS and not any(name in s.names for s in self.scopes):
            self.add(Ref(name))  # a global of the same name would be used instead
            for argument in (*node.args, *(k.value for k in node.keywords)):
                self.expression(argument, use & Use.PASS)
            return True
        return False

    def _reflective(self, node: ast.Call, name: str, use: Use) -> None:
        """`getattr(x, "name")` is `x.name`; with a computed name it is all of `x`."""
        target, attribute = node.args[0], node.args[1]
        stores = name in ("setattr", "delattr")
        if isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
            access = ast.Attribute(target, attribute.value, ast.Load())
            ast.copy_location(access, node)
            self._chain(access, Use.STORE if stores else use, Role.PLAIN)
        else:
            self.expression(target, Use.PASS | (Use.STORE if stores else Use.READ))
            self.expression(attribute)
        for argument in node.args[2:]:
            self.expression(argument, Use.PASS)

    def _module_by_name(self, name: object) -> None:
        if isinstance(name, str) and not name.startswith("."):
            self.add(Ref(name, (), Use.PASS, is_module=True))
            if self.depth:
                self.lazy.add(name)

    def _chain(self, node: ast.Attribute | ast.Subscript, use: Use, role: Role) -> None:
        parts: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute | ast.Subscript):
            if isinstance(base, ast.Subscript):
                self.expression(base.slice, Use.READ, role)
                parts.append(ELEMENT)
            else:
                parts.append(base.attr)
                self.note_attribute(base)
            base = base.value
        parts.reverse()
        if isinstance(base, ast.Name):
            self.name(base.id, tuple(parts), use, role)
            if (base.id, parts[0]) in REFLECTION:
                self.give_up(node, f"uses `{base.id}.{parts[0]}`")
        elif _is_call_of(base, "super"):
            self.own_member(tuple(parts), use)
        else:
            changes = use & Use.STORE or (use & Use.CALL and parts[1:] and parts[-1] not in READING_METHODS)
            if changes and _is_call_of(base, "type"):
                self.flags.add("class")
            self.expression(base, Use.PASS if use else Use.READ)


def _is_call_of(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


# Any: each handler takes the one node type it stands under
_STATEMENTS: dict[type[ast.AST], Callable[[UseReader, Any], None]] = {
    ast.FunctionDef: UseReader._function,
    ast.AsyncFunctionDef: UseReader._function,
    ast.ClassDef: UseReader._class,
    ast.Assign: UseReader._assign,
    ast.AugAssign: UseReader._augmented,
    ast.AnnAssign: UseReader._annotated,
    ast.Delete: UseReader._delete,
    ast.For: UseReader._for,
    ast.AsyncFor: UseReader._for,
    ast.With: UseReader._with,
    ast.AsyncWith: UseReader._with,
    ast.Return: UseReader._return,
    ast.Import: UseReader._import,
    ast.ImportFrom: UseReader._import,
}


def own_parameter(node: FunctionNode) -> str | None:
    """The parameter through which a method reaches its instance or class; None for a static method."""
    if any(dotted(d)[-1:] == ("staticmethod",) for d in node.decorator_list):
        return None
    return first_parameter(node)


__all__ = ["UseReader", "own_parameter"]
