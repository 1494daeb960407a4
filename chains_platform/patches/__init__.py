"""Hot patches of development deployments: prepared everywhere, switched in one step."""
