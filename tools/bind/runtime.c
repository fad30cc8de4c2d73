/* SPDX-License-Identifier: MIT */
/*
 * What the stubs of all libraries share: a copy of it stands in each file that lfi-bind writes, so everything is
 * static. It starts the sandbox, gives each host thread a context and memory for arguments, and keeps what the program
 * lent to the library: callbacks, pointers of its own, strings that it got.
 *
 * Everything that comes from the sandbox is hostile:
 *   I1  A pointer of the host's never goes in. What stands for it is a handle's lower half, a token, or a copy's place.
 *   I2  What comes out is a copy, and only the copy is looked at; lengths of copies to the program's memory are the
 *       program's, never the sandbox's.
 *   I3  A handle that the program holds is no address of the host's: its upper half is not canonical.
 *   I4  A token is taken for what it was given for only: by the callbacks that were given with it, or that have the
 *       same owner, and for the same use.
 */

enum { BIND_CHUNK = 256 << 10, BIND_KEEP = 64 << 20, BIND_STRING = 16 << 20, BIND_TEXTS = 64 << 20, BIND_OWNERS = 256 };

/* Memory of a thread in the sandbox for arguments. Pinned, so that it stays mapped whatever the sandbox does. */
struct bind_chunk {
	struct bind_chunk *below;
	char *host;
	lfiptr at;
	size_t size, used;
};

/* A callback of the program's that runs. */
struct bind_frame {
	struct bind_frame *below;
	const struct bind_callback *callback;
	struct bind_block *blocks;
	const char *name;
	jmp_buf env;
};

/* Host memory that goes with a callback. */
struct bind_block {
	struct bind_block *next;
	max_align_t bytes[];
};

/* A jmp_buf of the program's, and where it was set. */
struct bind_jump {
	jmp_buf env;
	struct bind_frame *frame;
	char *stack;
	int value;
};

static _Thread_local struct {
	struct LFIContext *ctx;
	struct bind_chunk *chunk;
	struct bind_frame *frames;
	uint64_t generation;    /* of the sandbox that `ctx` and `chunk` are of */
	struct bind_jump *jump; /* to be done once the sandbox has been left */
	char why[400];          /* of a call that is refused, or a callback that was */
} bind_self;

/* A call that is made. Its number owns what lives as long as it. */
struct bind_call {
	const char *name;
	struct bind_chunk *chunk;
	size_t used;
	uint64_t id;
	int failed; /* enum LFIErrorCode */
};

enum bind_kind { BIND_USER, BIND_CALLBACK, BIND_TEXT, BIND_NUMBER, BIND_JUMP, BIND_BYTES, BIND_GROUP };

/* What is kept for an owner: a handle's lower half, a call's number, a group's, or 0 for as long as the sandbox. */
struct bind_item {
	struct bind_item *next;
	uint64_t owner, parent; /* parent: of a group, else the owner */
	enum bind_kind kind;
	const char *use;
	void *pointer;   /* the program's; text; a struct bind_jump or bind_callback */
	uint64_t number; /* a token; a number; bytes of text; an address of the sandbox's malloc */
};

/* A function of the program's as the sandbox may call it. */
struct bind_callback {
	struct bind_callback *next;
	LFIHostFn wrapper;
	void (*fn)(void);
	lfiptr at;
	size_t owners;
};

/* A struct of the program's that has a place of its own in the sandbox. */
struct bind_shadow {
	struct bind_shadow *next;
	const void *host;
	lfiptr at;
};

static struct {
	pthread_mutex_t lock, starting;
	pthread_key_t key;
	_Atomic int state; /* 0: not started; 1: it runs; -1: it could not */
	_Atomic uint64_t calls, generation;
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;
	struct LFIBox *box;
	lfiptr base;  /* of whole addresses; 0 where the program has offsets */
	uint64_t tag; /* upper half of handles */
	lfiptr fn[BIND_FUNCTIONS], malloc, free;
	struct bind_item *items[BIND_OWNERS];
	struct bind_callback *callbacks;
	struct bind_shadow *shadows;
	size_t texts;             /* bytes that are kept for the program */
	struct bind_item **users; /* by token */
	uint64_t users_size;
	BIND_HANDLER handler;
	void *handler_user;
	char why[400]; /* it could not start */
} bind = {.lock = PTHREAD_MUTEX_INITIALIZER, .starting = PTHREAD_MUTEX_INITIALIZER};

/* ---- Failure ---- */

/* The call is not made, or what it gave is not believed. The first reason counts. */
static __attribute__((format(printf, 3, 4))) void
bind_refuse(struct bind_call *call, int code, const char *format, ...)
{
	va_list list;

	if (call->failed)
		return;
	call->failed = code;
	va_start(list, format);
	vsnprintf(bind_self.why, sizeof bind_self.why, format, list);
	va_end(list);
}

static __attribute__((unused)) void
bind_refuse_last(struct bind_call *call)
{
	bind_refuse(call, lfi_errno() ? lfi_errno() : LFI_ERR_INVALID, "%s", lfi_errmsg());
}

/* Take the thread's memory back to where the call found it; a large piece stays for the next call. */
static __attribute__((unused)) void
bind_chunk_free(struct bind_chunk *chunk)
{
	lfi_box_unpin(bind.box, chunk->at, chunk->size);
	lfi_box_munmap(bind.box, chunk->at, chunk->size);
	free(chunk);
}

static __attribute__((unused)) void
bind_rewind(const struct bind_call *call)
{
	struct bind_chunk *top = bind_self.chunk;

	while (top != call->chunk) {
		struct bind_chunk *below = top->below;
		bool keep =
		    call->used == 0 && below == call->chunk && (!below || !below->below) && top->size <= BIND_KEEP;

		if (keep) {
			if (below)
				bind_chunk_free(below);
			top->below = NULL;
			top->used = 0;
			bind_self.chunk = top;
			return;
		}
		bind_chunk_free(top);
		top = below;
	}
	bind_self.chunk = top;
	if (top)
		top->used = call->used;
}

/* The call is over. */
static __attribute__((unused)) void
bind_done(const struct bind_call *call)
{
	bind_rewind(call);
}

/* Go where the program's setjmp was; out of the callbacks that were called since, one by one. */
static __attribute__((unused)) void
bind_jump(const struct bind_call *call)
{
	struct bind_jump *jump = bind_self.jump;

	bind_done(call);
	if (jump->frame != bind_self.frames)
		longjmp(bind_self.frames->env, 1);
	bind_self.jump = NULL;
	if ((char *) __builtin_frame_address(0) > jump->stack) {
		fprintf(stderr, "%s: the library jumps to a function that has returned\n", call->name);
		abort();
	}
	longjmp(jump->env, jump->value);
}

/* Tell the program, its way or by a message and an end. Returns where it said so, with what it says for the function.
 */
static __attribute__((unused)) void
bind_failed(struct bind_call *call, bool has_value)
{
	char message[1600];
	struct LFIFault fault;
	int code = call->failed;

	if (bind_self.jump)
		bind_jump(call);
	snprintf(message, sizeof message, "%s", bind_self.why[0] ? bind_self.why : lfi_errmsg());
	if (code == LFI_ERR_FAULT && bind_self.ctx && lfi_ctx_fault(bind_self.ctx, &fault) == 0) {
		size_t n = strlen(message);

		snprintf(message + n, sizeof message - n, "; ");
		lfi_fault_format(&fault, message + n + 2, sizeof message - n - 2);
	}
	bind_self.why[0] = 0;
	bind_done(call);
	if (bind.handler) {
		bind.handler(call->name, code, message, bind.handler_user);
	} else if (!has_value) {
		fprintf(
		    stderr, "%s: the sandboxed library failed: %s: %s\n", call->name, lfi_error_name(code), message);
		abort();
	}
}

/* ---- Start ---- */

/* What the thread has in a sandbox that is gone, is gone with it. */
static __attribute__((unused)) void
bind_thread_clear(void)
{
	while (bind_self.chunk) {
		struct bind_chunk *below = bind_self.chunk->below;

		if (bind.state > 0 && bind_self.generation == bind.generation)
			bind_chunk_free(bind_self.chunk);
		else
			free(bind_self.chunk);
		bind_self.chunk = below;
	}
	bind_self.ctx = NULL;
	bind_self.generation = bind.generation;
}

static __attribute__((unused)) void
bind_thread_end(void *arg)
{
	(void) arg;
	bind_thread_clear();
}

static __attribute__((unused)) bool
bind_symbols(void)
{
	for (size_t i = 0; i < BIND_FUNCTIONS; i++) {
		bind.fn[i] = lfi_proc_sym(bind.proc, bind_names[i]);
		if (!bind.fn[i])
			return false;
	}
	bind.malloc = lfi_proc_sym(bind.proc, "malloc");
	bind.free = lfi_proc_sym(bind.proc, "free");
	return bind.malloc && bind.free;
}

/* The engine stays when the sandbox is made anew: it remembers which code was verified. */
static __attribute__((unused)) bool
bind_make(void)
{
	static const char *argv[] = {BIND_NAME};
	uint16_t salt = 0;

	if (!bind.engine)
		bind.engine = lfi_new((struct LFIOptions){0}, 1);
	if (bind.engine && !bind.linux_)
		bind.linux_ = lfi_linux_new(bind.engine, (struct LFILinuxOptions){.dir_maps = bind_directories});
	bind.proc = bind.linux_ ? lfi_proc_new(bind.linux_) : NULL;
	if (!bind.proc || lfi_proc_stdio(bind.proc, BIND_STDIO) < 0 ||
	    !lfi_proc_load(bind.proc, bind_image, (size_t) (bind_image_end - bind_image), BIND_NAME))
		return false;
	bind.box = lfi_proc_box(bind.proc);
	bind.thread = lfi_thread_new(bind.proc, 1, argv, NULL);
	if (!bind.thread || lfi_linux_init_clone(bind.thread) < 0 || lfi_box_init_ret(bind.box) < 0 ||
	    !lfi_box_cbinit(bind.box) || !bind_symbols())
		return false;
	if (BIND_MEMORY && lfi_box_set_limits(bind.box, (struct LFILimits){.mapped = BIND_MEMORY}) < 0)
		return false;
	bind.base = bind.malloc >> 32 ? lfi_box_info(bind.box).base : 0;
	if (getrandom(&salt, sizeof salt, GRND_NONBLOCK) < 0)
		salt = (uint16_t) getpid();
	/* I3: bits 47 to 63 are not all alike. Never that of the sandbox before. */
	bind.tag = (uint64_t) 0x4c46 << 48 | (uint64_t) (uint16_t) ((bind.tag >> 32) + 1 + salt % 0xffff) << 32;
	bind.generation++;
	return true;
}

/* What could not be made, or is not wanted any more. */
static __attribute__((unused)) void
bind_unmake(void)
{
	lfi_thread_free(bind.thread);
	lfi_proc_free(bind.proc);
	bind.thread = NULL;
	bind.proc = NULL;
	bind.box = NULL;
}

/* Once; what failed stays so, with its reason. */
static __attribute__((unused)) bool
bind_start(void)
{
	pthread_mutex_lock(&bind.starting);
	if (bind.state == 0) {
		bool good = pthread_key_create(&bind.key, bind_thread_end) == 0 && bind_make();

		if (!good) {
			snprintf(bind.why, sizeof bind.why, "the sandbox cannot start: %s", lfi_errmsg());
			bind_unmake();
		}
		bind.state = good ? 1 : -1;
	}
	pthread_mutex_unlock(&bind.starting);
	return bind.state > 0;
}

/* A callback that was left by a jump of the program's own would leave the sandbox entered for ever. */
static __attribute__((unused)) void
bind_check_frames(const char *name)
{
	if ((char *) bind_self.frames < (char *) __builtin_frame_address(0)) {
		fprintf(stderr, "%s: the callback for %s was left by longjmp\n", name, bind_self.frames->name);
		abort();
	}
}

static inline void
bind_enter(struct bind_call *call, const char *name)
{
	call->name = name;
	call->failed = 0;
	call->id = 0;
	if (__builtin_expect(bind_self.frames != NULL, 0))
		bind_check_frames(name);
	if (__builtin_expect(bind.state <= 0, 0) && !(BIND_LAZY && bind.state == 0 && bind_start()))
		bind_refuse(call, LFI_ERR_INVALID, "%s", bind.state < 0 ? bind.why : "the sandbox was not started");
	if (__builtin_expect(bind_self.generation != bind.generation, 0))
		bind_thread_clear();
	call->chunk = bind_self.chunk;
	call->used = bind_self.chunk ? bind_self.chunk->used : 0;
}

/* After LFI_INVOKE. */
static inline void
bind_leave(struct bind_call *call)
{
	int code = lfi_errno();

	if (__builtin_expect(code != LFI_OK, 0))
		call->failed = code;
}

/* ---- Arguments ---- */

static __attribute__((unused)) struct bind_chunk *
bind_chunk_new(struct bind_call *call, size_t size)
{
	struct bind_chunk *chunk = calloc(1, sizeof *chunk);
	size_t want = size > BIND_CHUNK ? (size + 65535) & ~(size_t) 65535 : BIND_CHUNK;

	if (!chunk || want < size)
		goto fail;
	chunk->at =
	    lfi_box_mapany(bind.box, want, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	if (chunk->at == (lfiptr) -1)
		goto fail;
	chunk->host = lfi_box_pin(bind.box, chunk->at, want, LFI_PROT_READ | LFI_PROT_WRITE);
	if (!chunk->host) {
		lfi_box_munmap(bind.box, chunk->at, want);
		goto fail;
	}
	chunk->size = want;
	chunk->below = bind_self.chunk;
	bind_self.chunk = chunk;
	pthread_setspecific(bind.key, &bind_self);
	return chunk;

fail:
	free(chunk);
	bind_refuse(call, LFI_ERR_NOMEM, "no room for an argument of %zu bytes", size);
	return NULL;
}

/* Room in the sandbox until the call is over, a multiple of 16 bytes; NULL: the call is refused. */
static __attribute__((unused)) void *
bind_room(struct bind_call *call, size_t size, lfiptr *at)
{
	struct bind_chunk *chunk = bind_self.chunk;
	size_t want = (size + 15) & ~(size_t) 15;
	char *room;

	*at = 0;
	if (call->failed)
		return NULL;
	if (want < size || size > (size_t) 1 << 32) {
		bind_refuse(call, LFI_ERR_RANGE, "an argument of %zu bytes", size);
		return NULL;
	}
	want += want == 0 ? 16 : 0;
	if (!chunk || chunk->size - chunk->used < want) {
		chunk = bind_chunk_new(call, want);
		if (!chunk)
			return NULL;
	}
	room = chunk->host + chunk->used;
	*at = chunk->at + chunk->used;
	chunk->used += want;
	return room;
}

/* `count` items of `size` bytes: an error instead of an overflow. */
static __attribute__((unused)) size_t
bind_bytes(struct bind_call *call, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		bind_refuse(call, LFI_ERR_RANGE, "%zu items of %zu bytes", count, size);
		return 0;
	}
	return bytes;
}

/* A copy of the program's bytes. */
static __attribute__((unused)) lfiptr
bind_in(struct bind_call *call, const void *bytes, size_t size, void **room)
{
	lfiptr at = 0;
	void *to = bytes ? bind_room(call, size, &at) : NULL;

	if (to)
		memcpy(to, bytes, size);
	*room = to;
	return at;
}

static __attribute__((unused)) lfiptr
bind_string(struct bind_call *call, const char *text)
{
	void *room;

	return text ? bind_in(call, text, strlen(text) + 1, &room) : 0;
}

/* Zeroed room for what the function writes. */
static __attribute__((unused)) lfiptr
bind_out(struct bind_call *call, const void *to, size_t size, void **room)
{
	lfiptr at = 0;

	*room = to ? bind_room(call, size, &at) : NULL;
	if (*room)
		memset(*room, 0, size);
	return at;
}

/* I2: what the compiler reads of `to` from here on is the copy; it may not read `room` again instead. */
static __attribute__((unused)) void
bind_take(void *to, const void *room, size_t size)
{
	if (room && size)
		memcpy(to, room, size);
	__asm__ volatile("" : : : "memory");
}

/* How much was written, which the sandbox says: never more than there is room for. */
static __attribute__((unused)) size_t
bind_written(struct bind_call *call, size_t written, size_t length)
{
	if (written <= length)
		return written;
	bind_refuse(call, LFI_ERR_RANGE, "the library says that it wrote %zu items where %zu fit", written, length);
	return 0;
}

/* Bytes of the sandbox's own, out and in. */
static __attribute__((unused)) void
bind_fetch(struct bind_call *call, void *to, lfiptr at, size_t size)
{
	if (lfi_box_copyfm(bind.box, to, at, size) < 0)
		bind_refuse_last(call);
}

static __attribute__((unused)) void
bind_store(struct bind_call *call, lfiptr at, const void *from, size_t size)
{
	if (lfi_box_copyto(bind.box, at, from, size) < 0)
		bind_refuse_last(call);
}

/* ---- Handles ---- */

/* What the program holds for something in the sandbox. */
static __attribute__((unused)) void *
bind_show(lfiptr at)
{
	return (uint32_t) at ? (void *) (uintptr_t) (bind.tag | (uint32_t) at) : NULL;
}

static __attribute__((unused)) lfiptr
bind_handle(struct bind_call *call, const void *handle)
{
	uint64_t value = (uintptr_t) handle;

	if (!value)
		return 0;
	if (value >> 32 != bind.tag >> 32) {
		bind_refuse(call, LFI_ERR_INVALID, "%p is no handle of this library", handle);
		return 0;
	}
	return bind.base + (uint32_t) value;
}

static __attribute__((unused)) uint64_t
bind_call_id(struct bind_call *call)
{
	if (!call->id)
		call->id = ++bind.calls << 32;
	return call->id;
}

/* ---- What is kept ---- */

static __attribute__((unused)) struct bind_item **
bind_items(uint64_t owner)
{
	return &bind.items[(owner ^ owner >> 8 ^ owner >> 32) % BIND_OWNERS];
}

static __attribute__((unused)) struct bind_item *
bind_find(uint64_t owner, enum bind_kind kind, const char *use)
{
	for (struct bind_item *item = *bind_items(owner); item; item = item->next) {
		if (item->owner == owner && item->kind == kind && strcmp(item->use, use) == 0)
			return item;
	}
	return NULL;
}

static __attribute__((unused)) struct bind_item *
bind_add(uint64_t owner, enum bind_kind kind, const char *use, void *pointer, uint64_t number)
{
	struct bind_item *item = malloc(sizeof *item);

	if (!item)
		return NULL;
	*item = (struct bind_item){*bind_items(owner), owner, owner, kind, use, pointer, number};
	*bind_items(owner) = item;
	return item;
}

static __attribute__((unused)) void
bind_callback_release(struct bind_callback *callback)
{
	struct bind_callback **at = &bind.callbacks;

	if (--callback->owners)
		return;
	while (*at != callback)
		at = &(*at)->next;
	*at = callback->next;
	lfi_box_unregister_fn(bind.box, (void *) (uintptr_t) callback->at);
	free(callback);
}

static __attribute__((unused)) void
bind_item_free(struct bind_item *item)
{
	switch (item->kind) {
	case BIND_USER:
		bind.users[item->number] = NULL;
		break;
	case BIND_CALLBACK:
		bind_callback_release(item->pointer);
		break;
	case BIND_TEXT:
	case BIND_JUMP:
		free(item->pointer);
		break;
	case BIND_NUMBER:
	case BIND_GROUP:
	case BIND_BYTES:
		break;
	}
}

static __attribute__((unused)) void bind_drop(uint64_t owner);

/* Forget what was kept for an owner: all of it, or text. The sandbox is not called with the lock held. */
static __attribute__((unused)) void
bind_drop_some(uint64_t owner, bool texts)
{
	struct bind_item **at, *gone = NULL;

	pthread_mutex_lock(&bind.lock);
	at = bind_items(owner);
	while (*at) {
		struct bind_item *item = *at;

		if (item->owner == owner && (!texts || item->kind == BIND_TEXT)) {
			*at = item->next;
			bind_item_free(item);
			item->next = gone;
			gone = item;
		} else {
			at = &item->next;
		}
	}
	pthread_mutex_unlock(&bind.lock);
	while (gone) {
		struct bind_item *next = gone->next;

		if (gone->kind == BIND_BYTES)
			LFI_INVOKE(bind.box, &bind_self.ctx, bind.free, void, (lfiptr), gone->number);
		else if (gone->kind == BIND_GROUP)
			bind_drop(gone->number);
		free(gone);
		gone = next;
	}
}

static __attribute__((unused)) void
bind_drop(uint64_t owner)
{
	bind_drop_some(owner, false);
}

static __attribute__((unused)) void
bind_drop_handle(const void *handle)
{
	if (handle)
		bind_drop((uint32_t) (uintptr_t) handle);
}

static __attribute__((unused)) void
bind_drop_texts(const void *handle)
{
	if (handle)
		bind_drop_some((uint32_t) (uintptr_t) handle, true);
}

/* The call has made a handle: what was lent for it is the handle's. */
static __attribute__((unused)) void
bind_adopt(struct bind_call *call, lfiptr result)
{
	struct bind_item **at, *item;

	if (!call->id)
		return;
	if (!result) {
		bind_drop(call->id);
		return;
	}
	pthread_mutex_lock(&bind.lock);
	at = bind_items(call->id);
	while ((item = *at)) {
		if (item->owner != call->id) {
			at = &item->next;
			continue;
		}
		*at = item->next;
		item->owner = item->parent = (uint32_t) result;
		item->next = *bind_items(item->owner);
		*bind_items(item->owner) = item;
	}
	pthread_mutex_unlock(&bind.lock);
}

/* A copy that the library may look at for as long as its owner is there. */
static __attribute__((unused)) lfiptr
bind_in_kept(struct bind_call *call, const void *bytes, size_t size, uint64_t owner)
{
	struct bind_item *item = NULL;
	lfiptr at;

	if (!bytes || call->failed)
		return 0;
	at = LFI_INVOKE(bind.box, &bind_self.ctx, bind.malloc, lfiptr, (size_t), size ? size : 1);
	if (!at) {
		bind_refuse(call, LFI_ERR_NOMEM, "no memory in the sandbox for %zu bytes", size);
		return 0;
	}
	at = bind.base + (uint32_t) at;
	if (lfi_box_copyto(bind.box, at, bytes, size) < 0)
		bind_refuse_last(call);
	pthread_mutex_lock(&bind.lock);
	item = bind_add(owner, BIND_BYTES, "", NULL, at);
	pthread_mutex_unlock(&bind.lock);
	if (!item)
		bind_refuse(call, LFI_ERR_NOMEM, "no memory");
	return at;
}

/* ---- Pointers of the program's that the library only hands back: tokens ---- */

static __attribute__((unused)) uint64_t
bind_token(void)
{
	uint64_t token = 1;

	while (token < bind.users_size && bind.users[token])
		token++;
	if (token >= bind.users_size) {
		uint64_t size = bind.users_size ? bind.users_size * 2 : 64;
		struct bind_item **users = size <= 1 << 20 ? realloc(bind.users, size * sizeof *users) : NULL;

		if (!users)
			return 0;
		memset(users + bind.users_size, 0, (size - bind.users_size) * sizeof *users);
		bind.users = users;
		bind.users_size = size;
	}
	return token;
}

/* A number for what one call gives to an owner: callbacks, and the pointer that is for them. */
static __attribute__((unused)) uint64_t
bind_group(struct bind_call *call, uint64_t owner, const char *use)
{
	uint64_t group = ++bind.calls << 32;
	struct bind_item *item;

	if (call->failed)
		return group;
	pthread_mutex_lock(&bind.lock);
	item = bind_add(owner, BIND_GROUP, use, NULL, group);
	pthread_mutex_unlock(&bind.lock);
	if (!item)
		bind_refuse(call, LFI_ERR_NOMEM, "no memory");
	return group;
}

/* The call was one that sets: what it gave before is forgotten. */
static __attribute__((unused)) void
bind_group_replace(uint64_t owner, const char *use, uint64_t group)
{
	struct bind_item **at, *gone = NULL;

	pthread_mutex_lock(&bind.lock);
	at = bind_items(owner);
	while (*at) {
		struct bind_item *item = *at;

		if (item->owner == owner && item->kind == BIND_GROUP && item->number != group &&
		    strcmp(item->use, use) == 0) {
			*at = item->next;
			item->next = gone;
			gone = item;
		} else {
			at = &item->next;
		}
	}
	pthread_mutex_unlock(&bind.lock);
	while (gone) {
		struct bind_item *next = gone->next;

		bind_drop(gone->number);
		free(gone);
		gone = next;
	}
}

static __attribute__((unused)) struct bind_item *
bind_user_find(uint64_t owner, const char *use, const void *pointer, bool replace)
{
	for (struct bind_item *item = *bind_items(owner); item; item = item->next) {
		if (item->owner == owner && item->kind == BIND_USER && strcmp(item->use, use) == 0 &&
		    (replace || item->pointer == pointer))
			return item;
	}
	return NULL;
}

/* Its token. With `replace` the owner has one pointer for a use, and forgets the one before. */
static __attribute__((unused)) lfiptr
bind_user(struct bind_call *call, const void *pointer, uint64_t owner, uint64_t parent, const char *use, bool replace)
{
	struct bind_item *item;
	uint64_t token = 0;

	if (!pointer || call->failed)
		return 0;
	pthread_mutex_lock(&bind.lock);
	item = bind_user_find(owner, use, pointer, replace);
	if (!item && (token = bind_token()) && (item = bind_add(owner, BIND_USER, use, NULL, token)))
		bind.users[token] = item;
	if (item) {
		item->pointer = (void *) (uintptr_t) pointer;
		item->parent = parent;
		token = item->number;
	}
	pthread_mutex_unlock(&bind.lock);
	if (!item)
		bind_refuse(call, LFI_ERR_NOMEM, "no room for a pointer that the library keeps");
	return item ? token : 0;
}

/* I4. `may` is the callback that gets it, or NULL where only the owner counts. */
static __attribute__((unused)) bool
bind_user_back(uint64_t token, const struct bind_callback *may, uint64_t owner, const char *use, void **out)
{
	struct bind_item *item;
	bool good = token == 0;

	*out = NULL;
	pthread_mutex_lock(&bind.lock);
	item = token < bind.users_size ? bind.users[token] : NULL;
	if (token && item && strcmp(item->use, use) == 0) {
		good = !may && item->parent == owner;
		for (struct bind_item *at = may ? *bind_items(item->owner) : NULL; at && !good; at = at->next)
			good = at->owner == item->owner && at->kind == BIND_CALLBACK && at->pointer == may;
		*out = good ? item->pointer : NULL;
	}
	pthread_mutex_unlock(&bind.lock);
	return good;
}

static __attribute__((unused)) void *
bind_take_user(struct bind_call *call, uint64_t token, uint64_t owner, const char *use)
{
	void *pointer;

	if (!bind_user_back(token, NULL, owner, use, &pointer))
		bind_refuse(call, LFI_ERR_RANGE, "the library gives a pointer back that it did not get");
	return pointer;
}

/* ---- Numbers that the program was told, and that sizes are taken from ---- */

static __attribute__((unused)) void
bind_remember(struct bind_call *call, const void *owner, const char *what, uint64_t number)
{
	uint64_t key = (uint32_t) (uintptr_t) owner;
	struct bind_item *item;

	pthread_mutex_lock(&bind.lock);
	item = bind_find(key, BIND_NUMBER, what);
	if (item)
		item->number = number;
	else if (!bind_add(key, BIND_NUMBER, what, NULL, number))
		bind_refuse(call, LFI_ERR_NOMEM, "no memory");
	pthread_mutex_unlock(&bind.lock);
}

static __attribute__((unused)) uint64_t
bind_remembered(struct bind_call *call, const void *owner, const char *what)
{
	struct bind_item *item;
	uint64_t number = 0;

	pthread_mutex_lock(&bind.lock);
	item = bind_find((uint32_t) (uintptr_t) owner, BIND_NUMBER, what);
	if (item)
		number = item->number;
	pthread_mutex_unlock(&bind.lock);
	if (!item)
		bind_refuse(
		    call, LFI_ERR_INVALID, "the size is not known: the program has not asked for '%s' yet", what);
	return number;
}

/* ---- Text from the sandbox ---- */

/* A copy in memory of malloc; NULL, and `*why` says so, when it cannot be read. */
static __attribute__((unused)) char *
bind_text(lfiptr at, const char **why)
{
	size_t size = 128;
	char *text = NULL;

	*why = NULL;
	for (;;) {
		char *more = realloc(text, size);
		ssize_t length;

		if (!more)
			break;
		text = more;
		length = lfi_box_copystr(bind.box, text, at, size);
		if (length >= 0) {
			more = realloc(text, (size_t) length + 1);
			return more ? more : text;
		}
		if (lfi_errno() != LFI_ERR_RANGE || size >= BIND_STRING)
			break;
		size *= 8;
	}
	free(text);
	*why = lfi_errmsg();
	return NULL;
}

/* Text that the program may read until the owner goes; the same text of one owner is kept once. */
static __attribute__((unused)) char *
bind_keep_text(struct bind_call *call, lfiptr at, uint64_t owner, const char *use)
{
	const char *why;
	char *text;

	if (!at || call->failed)
		return NULL;
	text = bind_text(at, &why);
	if (!text) {
		bind_refuse(call, LFI_ERR_RANGE, "the library's text cannot be read: %s", why);
		return NULL;
	}
	pthread_mutex_lock(&bind.lock);
	for (struct bind_item *item = *bind_items(owner); item; item = item->next) {
		if (item->owner == owner && item->kind == BIND_TEXT && strcmp(item->pointer, text) == 0) {
			free(text);
			text = item->pointer;
			goto out;
		}
	}
	/* A library that makes up text after text must not fill the program's memory. */
	if (bind.texts + strlen(text) + 1 > BIND_TEXTS || !bind_add(owner, BIND_TEXT, use, text, strlen(text) + 1)) {
		free(text);
		text = NULL;
		bind_refuse(call, LFI_ERR_NOMEM, "no memory for more text of the library's");
	} else {
		bind.texts += strlen(text) + 1;
	}
out:
	pthread_mutex_unlock(&bind.lock);
	return text;
}

/* ---- Structs of the program's with a place in the sandbox ---- */

static __attribute__((unused)) lfiptr
bind_shadow_find(const void *host)
{
	lfiptr at = 0;

	pthread_mutex_lock(&bind.lock);
	for (struct bind_shadow *shadow = bind.shadows; shadow && !at; shadow = shadow->next)
		at = shadow->host == host ? shadow->at : 0;
	pthread_mutex_unlock(&bind.lock);
	return at;
}

static __attribute__((unused)) void
bind_shadow_free(const void *host)
{
	struct bind_shadow **at = &bind.shadows, *shadow;

	pthread_mutex_lock(&bind.lock);
	while (*at && (*at)->host != host)
		at = &(*at)->next;
	shadow = *at;
	if (shadow)
		*at = shadow->next;
	pthread_mutex_unlock(&bind.lock);
	if (!shadow)
		return;
	LFI_INVOKE(bind.box, &bind_self.ctx, bind.free, void, (lfiptr), shadow->at);
	bind_drop((uint32_t) shadow->at);
	free(shadow);
}

/* Its place, made and zeroed where there is none. */
static __attribute__((unused)) lfiptr
bind_shadow(struct bind_call *call, const void *host, size_t size)
{
	static const char zeros[4096];
	struct bind_shadow *shadow;
	lfiptr at = host && !call->failed ? bind_shadow_find(host) : 0;

	if (at || !host || call->failed)
		return at;
	at = LFI_INVOKE(bind.box, &bind_self.ctx, bind.malloc, lfiptr, (size_t), size);
	shadow = at ? malloc(sizeof *shadow) : NULL;
	if (!shadow) {
		bind_refuse(call, LFI_ERR_NOMEM, "no memory in the sandbox for %zu bytes", size);
		return 0;
	}
	at = bind.base + (uint32_t) at;
	for (size_t done = 0; done < size; done += sizeof zeros) {
		size_t part = size - done < sizeof zeros ? size - done : sizeof zeros;

		if (lfi_box_copyto(bind.box, at + done, zeros, part) < 0)
			bind_refuse_last(call);
	}
	shadow->host = host;
	shadow->at = at;
	pthread_mutex_lock(&bind.lock);
	shadow->next = bind.shadows;
	bind.shadows = shadow;
	pthread_mutex_unlock(&bind.lock);
	return at;
}

/* ---- Callbacks ---- */

static __attribute__((unused)) struct bind_callback *
bind_callback_get(LFIHostFn wrapper, const char *sig, void (*fn)(void))
{
	struct bind_callback *callback = bind.callbacks;

	while (callback && (callback->wrapper != wrapper || callback->fn != fn))
		callback = callback->next;
	if (callback)
		return callback;
	callback = calloc(1, sizeof *callback);
	if (!callback)
		return NULL;
	callback->wrapper = wrapper;
	callback->fn = fn;
	callback->at = (lfiptr) (uintptr_t) lfi_box_register_fn(bind.box, sig, wrapper, callback);
	if (!callback->at) {
		free(callback);
		return NULL;
	}
	callback->next = bind.callbacks;
	bind.callbacks = callback;
	return callback;
}

/* The address by which the sandbox calls a function of the program's, for as long as the owner is there. */
static __attribute__((unused)) lfiptr
bind_callback(
    struct bind_call *call, void (*fn)(void), LFIHostFn wrapper, const char *sig, uint64_t owner, const char *use)
{
	struct bind_callback *callback;
	struct bind_item *item;
	lfiptr at = 0;

	if (!fn || call->failed)
		return 0;
	pthread_mutex_lock(&bind.lock);
	callback = bind_callback_get(wrapper, sig, fn);
	for (item = callback ? *bind_items(owner) : NULL; item; item = item->next) {
		if (item->owner == owner && item->pointer == callback)
			break;
	}
	if (callback && (item || bind_add(owner, BIND_CALLBACK, use, callback, 0))) {
		callback->owners += item ? 0 : 1;
		at = callback->at;
	}
	pthread_mutex_unlock(&bind.lock);
	if (!at)
		bind_refuse_last(call);
	return at;
}

static __attribute__((unused)) void
bind_frame_push(struct bind_frame *frame, const struct bind_callback *callback, const char *name)
{
	frame->below = bind_self.frames;
	frame->callback = callback;
	frame->blocks = NULL;
	frame->name = name;
	bind_self.frames = frame;
}

static __attribute__((unused)) void
bind_frame_pop(struct bind_frame *frame)
{
	while (frame->blocks) {
		struct bind_block *next = frame->blocks->next;

		free(frame->blocks);
		frame->blocks = next;
	}
	bind_self.frames = frame->below;
}

/* The sandbox calls back with what cannot be: end its call, and tell the program. Never returns. */
static __attribute__((unused, noreturn, format(printf, 1, 2))) void
bind_frame_refuse(const char *format, ...)
{
	va_list list;
	int n = snprintf(bind_self.why, sizeof bind_self.why, "callback %s: ", bind_self.frames->name);

	va_start(list, format);
	vsnprintf(bind_self.why + n, sizeof bind_self.why - (size_t) n, format, list);
	va_end(list);
	longjmp(bind_self.frames->env, 1);
}

/* Host memory until the callback is over. */
static __attribute__((unused)) void *
bind_frame_room(size_t size)
{
	struct bind_block *block = size <= (size_t) 1 << 32 ? calloc(1, sizeof *block + size) : NULL;

	if (!block)
		bind_frame_refuse("no memory for %zu bytes", size);
	block->next = bind_self.frames->blocks;
	bind_self.frames->blocks = block;
	return block->bytes;
}

/* A copy of the sandbox's bytes; the range is looked at before anything of its size is made. */
static __attribute__((unused)) void *
bind_frame_in(lfiptr at, size_t count, size_t item)
{
	size_t size;
	void *copy;

	if (!at)
		return NULL;
	if (__builtin_mul_overflow(count, item, &size) || !lfi_box_ptrvalid(bind.box, at, size))
		bind_frame_refuse("%zu items at %#llx", count, (unsigned long long) at);
	copy = bind_frame_room(size);
	if (size && lfi_box_copyfm(bind.box, copy, at, size) < 0)
		bind_frame_refuse("%s", lfi_errmsg());
	return copy;
}

static __attribute__((unused)) void *
bind_frame_out(lfiptr at, size_t count, size_t item)
{
	size_t size;

	if (!at)
		return NULL;
	if (__builtin_mul_overflow(count, item, &size) || !lfi_box_ptrvalid(bind.box, at, size))
		bind_frame_refuse("%zu items at %#llx", count, (unsigned long long) at);
	return bind_frame_room(size);
}

static __attribute__((unused)) void
bind_frame_give(lfiptr at, const void *bytes, size_t size)
{
	if (at && size && lfi_box_copyto(bind.box, at, bytes, size) < 0)
		bind_frame_refuse("%s", lfi_errmsg());
}

static __attribute__((unused)) char *
bind_frame_text(lfiptr at)
{
	const char *why;
	char *text, *copy;

	if (!at)
		return NULL;
	text = bind_text(at, &why);
	if (!text)
		bind_frame_refuse("text cannot be read: %s", why);
	copy = bind_frame_room(strlen(text) + 1);
	strcpy(copy, text);
	free(text);
	return copy;
}

/* Pointers to text up to a null pointer; or `most` of them, which may be null. */
static __attribute__((unused)) char **
bind_frame_texts(lfiptr at, size_t most)
{
	enum { MOST = 65536 };
	char **texts;
	uint64_t one = 1;
	size_t count = 0;

	if (!at)
		return NULL;
	if (most != SIZE_MAX && most > MOST)
		bind_frame_refuse("%zu pieces of text", most);
	for (; most == SIZE_MAX ? one != 0 : count < most; count++) {
		if (count == MOST || lfi_box_copyfm(bind.box, &one, at + 8 * count, 8) < 0)
			bind_frame_refuse("an array of text has no end");
	}
	/* Read anew: what there was may have changed, but not how much of it is looked at. */
	texts = bind_frame_room((count + 1) * sizeof *texts);
	for (size_t i = 0; i < count; i++) {
		if (lfi_box_copyfm(bind.box, &one, at + 8 * i, 8) < 0)
			bind_frame_refuse("%s", lfi_errmsg());
		if (!one && most == SIZE_MAX)
			break;
		texts[i] = bind_frame_text(one);
	}
	return texts;
}

static __attribute__((unused)) void *
bind_frame_handles(lfiptr at, size_t count)
{
	uint64_t *values = bind_frame_in(at, count, sizeof *values);

	for (size_t i = 0; values && i < count; i++)
		values[i] = (uintptr_t) bind_show(values[i]);
	return values;
}

static __attribute__((unused)) void *
bind_frame_user(uint64_t token, const struct bind_callback *callback, const char *use)
{
	void *pointer;

	if (!bind_user_back(token, callback, 0, use, &pointer))
		bind_frame_refuse("a pointer that was not given for it");
	return pointer;
}

/* In a stub that a callback calls: text that stays until the callback is over. */
static __attribute__((unused)) char *
bind_text_here(struct bind_call *call, lfiptr at)
{
	const char *why = NULL;
	char *text = at ? bind_text(at, &why) : NULL;
	struct bind_block *block = NULL;

	if (text && bind_self.frames)
		block = malloc(sizeof *block + strlen(text) + 1);
	if (at && !block) {
		bind_refuse(
		    call, LFI_ERR_RANGE, "text that lives as long as a callback: %s", why ? why : "there is none");
	} else if (block) {
		strcpy((char *) block->bytes, text);
		block->next = bind_self.frames->blocks;
		bind_self.frames->blocks = block;
	}
	free(text);
	return block ? (char *) block->bytes : NULL;
}

/* Likewise the pointer that was given with the callback. */
static __attribute__((unused)) void *
bind_user_here(struct bind_call *call, uint64_t token, const char *use)
{
	void *pointer = NULL;

	if (!bind_self.frames || !bind_user_back(token, bind_self.frames->callback, 0, use, &pointer))
		bind_refuse(call, LFI_ERR_RANGE, "the library gives a pointer back that it did not get");
	return pointer;
}

/* ---- setjmp and longjmp across the sandbox ---- */

/* The program's jmp_buf for a handle. `stack` is the stub's frame: that of who calls setjmp is above. */
static __attribute__((unused)) jmp_buf *
bind_jump_set(struct bind_call *call, const void *handle, char *stack)
{
	uint64_t owner = (uint32_t) (uintptr_t) handle;
	struct bind_item *item;
	struct bind_jump *jump;

	pthread_mutex_lock(&bind.lock);
	item = bind_find(owner, BIND_JUMP, "");
	jump = item ? item->pointer : calloc(1, sizeof *jump);
	if (jump && !item && !bind_add(owner, BIND_JUMP, "", jump, 0)) {
		free(jump);
		jump = NULL;
	}
	pthread_mutex_unlock(&bind.lock);
	if (!jump) {
		bind_refuse(call, LFI_ERR_NOMEM, "no memory");
		return NULL;
	}
	jump->frame = bind_self.frames;
	jump->stack = stack + 512; /* a wrapper of the program's may stand between */
	return &jump->env;
}

/* The library wants to jump: leave the sandbox first. */
static __attribute__((unused)) void
bind_jump_wanted(struct LFIContext *ctx, uint32_t owner, int value)
{
	struct bind_item *item;

	pthread_mutex_lock(&bind.lock);
	item = bind_find(owner, BIND_JUMP, "");
	pthread_mutex_unlock(&bind.lock);
	if (item) {
		bind_self.jump = item->pointer;
		bind_self.jump->value = value ? value : 1;
	} else {
		snprintf(bind_self.why, sizeof bind_self.why, "the library jumps to where nothing was set");
	}
	lfi_ctx_end_call(ctx);
}

/* ---- A new sandbox ---- */

/* Text for ever stays where it is: the program may still read it. */
static __attribute__((unused)) void
bind_forget_items(struct bind_item **at)
{
	while (*at) {
		struct bind_item *item = *at;

		if (item->kind == BIND_TEXT && item->owner == 0) {
			at = &item->next;
			continue;
		}
		*at = item->next;
		bind.texts -= item->kind == BIND_TEXT ? item->number : 0;
		if (item->kind == BIND_TEXT || item->kind == BIND_JUMP)
			free(item->pointer);
		free(item);
	}
}

static __attribute__((unused)) void
bind_forget(void)
{
	for (size_t i = 0; i < BIND_OWNERS; i++)
		bind_forget_items(&bind.items[i]);
	while (bind.callbacks) {
		struct bind_callback *next = bind.callbacks->next;

		free(bind.callbacks);
		bind.callbacks = next;
	}
	while (bind.shadows) {
		struct bind_shadow *next = bind.shadows->next;

		free(bind.shadows);
		bind.shadows = next;
	}
	free(bind.users);
	bind.users = NULL;
	bind.users_size = 0;
}

static __attribute__((unused)) bool
bind_restart(void)
{
	if (bind_self.frames)
		return false;
	pthread_mutex_lock(&bind.starting);
	if (bind.state != 0) {
		bind_thread_clear();
		bind_unmake();
		bind_forget();
		bind.state = bind_make() ? 1 : -1;
		if (bind.state < 0) {
			snprintf(bind.why, sizeof bind.why, "the sandbox cannot start: %s", lfi_errmsg());
			bind_unmake();
		}
	}
	pthread_mutex_unlock(&bind.starting);
	return bind.state > 0 || bind_start();
}
