from parent.inner import Inner
