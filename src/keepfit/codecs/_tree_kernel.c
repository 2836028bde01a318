/* The nodes of decision trees, checked in one pass.
 *
 * A node is a record; the children of a node are places counted from the root of its own tree. What is checked is what
 * `keepfit.codecs.tree_nodes` says, which does the same in a dozen passes of NumPy where this is not compiled.
 *
 * The records are the bytes of strangers. So:
 * - a number that comes from them is loaded once, compared with its bounds, and only then an index;
 * - loads are by memcpy: a record need not be aligned, nor be what C takes it for;
 * - sizes are compared before they are multiplied or added. Nothing here relies on what the caller has checked. */

#define Py_LIMITED_API 0x030B0000 /* one build serves CPython 3.11 and later; buffers are in it from there on */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define VERSION 2 /* Of what `check` takes and gives: tree_nodes.py calls a module of this version, and no other. */

typedef struct {
    Py_ssize_t size;                 /* bytes of a record */
    Py_ssize_t left, right, feature; /* where in it they are */
    Py_ssize_t is_leaf;              /* -1: there is no such field, both children of a leaf are -1 */
    Py_ssize_t mark;                 /* a byte: whether it is set in an inner node is told; -1: there is none */
} Fields;

static inline int64_t
load_int64(const char *bytes)
{
    int64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static inline int64_t
load_uint32(const char *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* Note the places of the nodes that have children, and give their number. Whether the next node has any is as good as
 * chance, so there is no branch on it: a processor would guess wrong half of the time. */
static int64_t
find_inner(const char *node, int64_t n_nodes, const Fields *fields, int64_t *inner)
{
    int64_t n_inner = 0;
    for (int64_t place = 0; place < n_nodes; place++, node += fields->size) {
        inner[n_inner] = place; /* n_inner is at most place */
        if (fields->is_leaf >= 0)
            n_inner += node[fields->is_leaf] == 0;
        else
            n_inner += (load_int64(node + fields->left) != -1) | (load_int64(node + fields->right) != -1);
    }
    return n_inner;
}

/* The depth of one tree, or -1 if the records are not one tree. `levels` and `inner` have room for a number for each
 * node. A level is 0 for a node whose parent has not been met, else how many nodes there are from the root to it. As
 * children come after their parents, all of a node's possible parents have been met when the walk comes to it. */
static int64_t
depth_of(const char *nodes, int64_t n_nodes, int64_t n_features, const Fields *fields, int64_t *levels, int64_t *inner,
         int *is_marked)
{
    int64_t deepest = 1, n_inner = find_inner(nodes, n_nodes, fields, inner);
    if (n_inner > n_nodes / 2 || 2 * n_inner + 1 != n_nodes)
        return -1; /* as no child has two parents, below, all nodes but the root have one */
    memset(levels, 0, (size_t)n_nodes * sizeof *levels);
    levels[0] = 1;
    for (int64_t number = 0; number < n_inner; number++) {
        int64_t place = inner[number], level = levels[place], left, right;
        const char *node = nodes + place * fields->size;
        if (fields->is_leaf >= 0) {
            left = load_uint32(node + fields->left);
            right = load_uint32(node + fields->right);
        }
        else {
            left = load_int64(node + fields->left);
            right = load_int64(node + fields->right);
        }
        if (level == 0)
            return -1; /* a second root */
        if (left <= place || left >= n_nodes || right <= place || right >= n_nodes)
            return -1; /* a child that is not there, or not after its parent */
        if (left == right || levels[left] || levels[right])
            return -1; /* a child of two parents */
        int64_t feature = load_int64(node + fields->feature);
        if (feature < 0 || feature >= n_features)
            return -1;
        if (fields->mark >= 0 && node[fields->mark])
            *is_marked = 1;
        levels[left] = levels[right] = ++level; /* at most n_nodes */
        if (level > deepest)
            deepest = level;
    }
    return deepest - 1;
}

static int
is_inside(Py_ssize_t offset, Py_ssize_t width, Py_ssize_t size)
{
    return offset >= 0 && width <= size && offset <= size - width;
}

/* 0 if not all are trees; else 1 with their depths written, 2 if a mark was seen besides. The trees lie end to end, and
 * have together as many nodes as there are. */
static long
check_all(const char *nodes, const char *counts, Py_ssize_t n_trees, const char *n_features, char *depths,
          const Fields *fields, int64_t *levels, int64_t *inner)
{
    int is_marked = 0;
    for (Py_ssize_t tree = 0; tree < n_trees; tree++) {
        int64_t n_nodes = load_int64(counts + tree * 8), features = load_int64(n_features + tree * 8);
        int64_t depth = depth_of(nodes, n_nodes, features, fields, levels, inner, &is_marked);
        if (depth < 0)
            return 0;
        memcpy(depths + tree * 8, &depth, sizeof depth);
        nodes += n_nodes * fields->size;
    }
    return 1 + is_marked;
}

/* The number of nodes of the largest tree, or -1 unless each has one and all have `n_nodes` together. */
static int64_t
largest_of(const char *counts, Py_ssize_t n_trees, int64_t n_nodes)
{
    int64_t largest = 0;
    for (Py_ssize_t tree = 0; tree < n_trees; tree++) {
        int64_t count = load_int64(counts + tree * 8);
        if (count < 1 || count > n_nodes)
            return -1;
        n_nodes -= count;
        largest = count > largest ? count : largest;
    }
    return n_nodes ? -1 : largest;
}

static PyObject *
check(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *result = NULL;
    Py_buffer nodes, given_counts, n_features, depths;
    Fields fields;
    char *counts = NULL;
    int64_t *levels = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*w*nnnnnn:check", &nodes, &given_counts, &n_features, &depths, &fields.size,
                          &fields.left, &fields.right, &fields.feature, &fields.is_leaf, &fields.mark))
        return NULL;

    Py_ssize_t child = fields.is_leaf >= 0 ? 4 : 8, n_trees = given_counts.len / 8;
    if (!is_inside(fields.left, child, fields.size) || !is_inside(fields.right, child, fields.size) ||
        !is_inside(fields.feature, 8, fields.size) || fields.is_leaf >= fields.size || fields.mark >= fields.size ||
        given_counts.len % 8 || n_features.len != given_counts.len || depths.len != given_counts.len) {
        PyErr_SetString(PyExc_ValueError, "the fields are not inside a record, or the buffers do not fit each other");
        goto done;
    }
    counts = PyMem_Malloc((size_t)given_counts.len); /* what is compared is what is used */
    if (counts == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    memcpy(counts, given_counts.buf, (size_t)given_counts.len);
    int64_t largest = nodes.len % fields.size ? -1 : largest_of(counts, n_trees, nodes.len / fields.size);
    if (largest < 0) {
        PyErr_SetString(PyExc_ValueError, "the trees have one record or more each, and all records together");
        goto done;
    }
    if (largest <= PY_SSIZE_T_MAX / 2 / (int64_t)sizeof *levels)
        levels = PyMem_Malloc(2 * (size_t)largest * sizeof *levels);
    if (levels == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    long found;
    Py_BEGIN_ALLOW_THREADS
    found = check_all(nodes.buf, counts, n_trees, n_features.buf, depths.buf, &fields, levels, levels + largest);
    Py_END_ALLOW_THREADS
    result = PyLong_FromLong(found);

done:
    PyMem_Free(counts);
    PyMem_Free(levels);
    PyBuffer_Release(&nodes);
    PyBuffer_Release(&given_counts);
    PyBuffer_Release(&n_features);
    PyBuffer_Release(&depths);
    return result;
}

static PyMethodDef methods[] = {
    {"check", check, METH_VARARGS,
     "check(nodes, counts, n_features, depths, size, left, right, feature, is_leaf, mark)\n--\n\n"
     "0 unless the records, so many for each, are trees, else 1, or 2 if an inner node is marked; writes the depths."},
    {NULL, NULL, 0, NULL},
};

static int
add_version(PyObject *module)
{
    return PyModule_AddIntConstant(module, "VERSION", VERSION);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_version}, {0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_tree_kernel", "The nodes of decision trees, checked in one pass.", 0, methods, slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__tree_kernel(void)
{
    return PyModuleDef_Init(&definition);
}
