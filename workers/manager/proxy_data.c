/* Dicts, namespaces, lists, arrays, values: what each call sends. */
#include "workers/manager/client.h"

/* For calls with a value as result. */
static int get(struct reeve_proxy *p, enum verb verb,
	       const struct reeve_any *arguments, struct reeve_any *ret_value)
{
	return proxy_call(p, verb, arguments,
			  &(struct result){ .value = ret_value });
}

/* For calls with an integer as result. */
static int64_t count(struct reeve_proxy *p, enum verb verb,
		     const struct reeve_any *arguments)
{
	struct result result = { .value = NULL };
	int r = proxy_call(p, verb, arguments, &result);

	return r < 0 ? r : result.integers[0];
}

int64_t reeve_proxy_length(struct reeve_proxy *p)
{
	return count(p, VERB_LENGTH, NULL);
}

int reeve_proxy_clear(struct reeve_proxy *p)
{
	return proxy_call(p, VERB_CLEAR, NULL, NULL);
}

int reeve_proxy_items(struct reeve_proxy *p, struct reeve_any *ret_value)
{
	return get(p, VERB_ITEMS, NULL, ret_value);
}

/* ---- dicts, namespaces ----------------------------------------------------------- */

int reeve_proxy_dict_get(struct reeve_proxy *p, struct reeve_any key,
			 struct reeve_any *ret_value)
{
	return get(p, VERB_DICT_GET, &key, ret_value);
}

int reeve_proxy_dict_set(struct reeve_proxy *p, struct reeve_any key,
			 struct reeve_any value)
{
	const struct reeve_any arguments[] = { key, value };

	return proxy_call(p, VERB_DICT_SET, arguments, NULL);
}

int reeve_proxy_dict_setdefault(struct reeve_proxy *p, struct reeve_any key,
				struct reeve_any value,
				struct reeve_any *ret_value)
{
	const struct reeve_any arguments[] = { key, value };

	return get(p, VERB_DICT_SETDEFAULT, arguments, ret_value);
}

int reeve_proxy_dict_add(struct reeve_proxy *p, struct reeve_any key,
			 struct reeve_any value, struct reeve_any *ret_value)
{
	const struct reeve_any arguments[] = { key, value };

	return get(p, VERB_DICT_ADD, arguments, ret_value);
}

int reeve_proxy_dict_pop(struct reeve_proxy *p, struct reeve_any key,
			 struct reeve_any *ret_value)
{
	return get(p, VERB_DICT_POP, &key, ret_value);
}

int reeve_proxy_dict_has(struct reeve_proxy *p, struct reeve_any key)
{
	struct result result = { .value = NULL };
	int r = proxy_call(p, VERB_DICT_HAS, &key, &result);

	return r < 0 ? r : result.boolean;
}

int reeve_proxy_dict_keys(struct reeve_proxy *p, struct reeve_any *ret_list)
{
	return get(p, VERB_DICT_KEYS, NULL, ret_list);
}

int reeve_proxy_dict_update(struct reeve_proxy *p, struct reeve_any dict)
{
	return proxy_call(p, VERB_DICT_UPDATE, &dict, NULL);
}

/* ---- lists, arrays ------------------------------------------------------------------ */

int reeve_proxy_list_get(struct reeve_proxy *p, int64_t index,
			 struct reeve_any *ret_value)
{
	const struct reeve_any arguments[] = { reeve_any_int(index) };

	return get(p, VERB_LIST_GET, arguments, ret_value);
}

int reeve_proxy_list_set(struct reeve_proxy *p, int64_t index,
			 struct reeve_any value)
{
	const struct reeve_any arguments[] = { reeve_any_int(index), value };

	return proxy_call(p, VERB_LIST_SET, arguments, NULL);
}

int reeve_proxy_list_add(struct reeve_proxy *p, int64_t index,
			 struct reeve_any value, struct reeve_any *ret_value)
{
	const struct reeve_any arguments[] = { reeve_any_int(index), value };

	return get(p, VERB_LIST_ADD, arguments, ret_value);
}

int reeve_proxy_list_slice(struct reeve_proxy *p, int64_t from, int64_t to,
			   struct reeve_any *ret_list)
{
	const struct reeve_any arguments[] = { reeve_any_int(from),
					       reeve_any_int(to) };

	return get(p, VERB_LIST_SLICE, arguments, ret_list);
}

int64_t reeve_proxy_list_index(struct reeve_proxy *p, struct reeve_any value)
{
	return count(p, VERB_LIST_INDEX, &value);
}

int reeve_proxy_list_append(struct reeve_proxy *p, struct reeve_any value)
{
	return proxy_call(p, VERB_LIST_APPEND, &value, NULL);
}

int reeve_proxy_list_extend(struct reeve_proxy *p, struct reeve_any list)
{
	return proxy_call(p, VERB_LIST_EXTEND, &list, NULL);
}

int reeve_proxy_list_insert(struct reeve_proxy *p, int64_t index,
			    struct reeve_any value)
{
	const struct reeve_any arguments[] = { reeve_any_int(index), value };

	return proxy_call(p, VERB_LIST_INSERT, arguments, NULL);
}

int reeve_proxy_list_pop(struct reeve_proxy *p, int64_t index,
			 struct reeve_any *ret_value)
{
	const struct reeve_any arguments[] = { reeve_any_int(index) };

	return get(p, VERB_LIST_POP, arguments, ret_value);
}

/* ---- values ----------------------------------------------------------------------------- */

int reeve_proxy_value_get(struct reeve_proxy *p, struct reeve_any *ret_value)
{
	return get(p, VERB_VALUE_GET, NULL, ret_value);
}

int reeve_proxy_value_set(struct reeve_proxy *p, struct reeve_any value)
{
	return proxy_call(p, VERB_VALUE_SET, &value, NULL);
}

int reeve_proxy_value_add(struct reeve_proxy *p, struct reeve_any value,
			  struct reeve_any *ret_value)
{
	return get(p, VERB_VALUE_ADD, &value, ret_value);
}
