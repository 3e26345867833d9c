"""Peewee's models and queries, with types for what the store passes to them: Peewee has few.

Only the type checker sees these classes, and it compares them with Peewee's own. At run time the
names are Peewee's classes, so they cost nothing. What is missing here, add here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peewee import ColumnBase, Ordering

if TYPE_CHECKING:
    from typing import Self

    import peewee
    from peewee import Node

    class _Query(peewee.Query):
        def where(self, *conditions: Node) -> Self: ...
        def orwhere(self, *conditions: Node) -> Self: ...
        def order_by(self, *values: Node) -> Self: ...
        def limit(self, value: int | Node | None = None) -> Self: ...
        def offset(self, value: int | Node | None = None) -> Self: ...

    class Select(_Query, peewee.Select):
        """A query of sources that are not models, such as other queries."""

        def alias(self, name: str) -> Self: ...
        def join(self, dest: object, join_type: str = "", on: Node | None = None) -> Self: ...
        def group_by(self, *columns: Node) -> Self: ...
        def cte(
            self, name: str, recursive: bool = False, columns: Sequence[str] | None = None
        ) -> CommonTable: ...

    class CommonTable(peewee.CTE):
        """A query with a name, which may refer to itself."""

        def union(self, rhs: Node) -> CommonTable: ...
        def union_all(self, rhs: Node) -> CommonTable: ...
        def select_from(self, *columns: Node) -> Select: ...

    class ModelSelect(_Query, peewee.ModelSelect[Any]):
        """A query of models."""

        def alias(self, name: str) -> Self: ...
        def from_(self, *sources: Node) -> Self: ...
        def join(
            self,
            dest: object,
            join_type: str = "",
            on: Node | None = None,
            src: object = None,
            attr: str | None = None,
        ) -> Self: ...
        def group_by(self, *columns: Node) -> Self: ...
        def distinct(self, *columns: Node) -> Self: ...
        def for_update(
            self,
            for_update: bool = True,
            of: object = None,
            nowait: bool | None = None,
            skip_locked: bool | None = None,
        ) -> Self: ...
        def cte(
            self,
            name: str,
            recursive: bool = False,
            columns: Sequence[str] | None = None,
            materialized: bool | None = None,
        ) -> CommonTable: ...

    class _Insert(_Query, peewee.ModelInsert): ...

    class _Update(_Query, peewee.ModelUpdate): ...

    class Delete(_Query, peewee.ModelDelete):
        """The removal of rows: what `delete` of a model returns."""

    class Model(peewee.Model):
        """A table."""

        @classmethod
        def select(cls, *columns: Node) -> ModelSelect: ...
        @classmethod
        def update(cls, data: Mapping[Any, object] | None = None, /, **more: object) -> _Update: ...
        @classmethod
        def insert(cls, data: Mapping[Any, object] | None = None, /, **more: object) -> _Insert: ...

    class _Windowed(peewee.NodeList):
        def alias(self, alias: str) -> Self: ...

    class _Function(peewee.Function):
        def over(  # noqa: PLR0913 - Peewee has as many
            self,
            partition_by: Sequence[Node] | None = None,
            order_by: Sequence[Node] | None = None,
            start: Node | None = None,
            end: Node | None = None,
            frame_type: str | None = None,
            window: Node | None = None,
            exclude: Node | None = None,
        ) -> _Windowed: ...

    class _Functions:
        def __getattr__(self, name: str) -> Callable[..., _Function]: ...

    fn = _Functions()
else:
    from peewee import Model, ModelSelect, Select, fn
    from peewee import ModelDelete as Delete

__all__ = ["Delete", "Model", "ModelSelect", "Select", "descending", "fn"]


def descending(column: ColumnBase) -> Ordering:
    """The order of a column, from the largest value to the smallest."""
    return Ordering(column, "DESC")
