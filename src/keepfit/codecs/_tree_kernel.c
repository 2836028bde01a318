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

typedef struct {
    Py_ssize_t size;                 /* bytes of a record */
    Py_ssize_t left, right, feature; /* where in it they are */
    Py_ssize_t is_leaf;              /* -1: there is no such field, both children of a leaf are -1 */
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

/* The depth of one tree, or -1 if the records are not one tree. `levels` has room for a number for each node: 0 for a
 * node whose parent has not been met, else how many nodes there are from the root to it. As children come after their
 * parents, all of a node's possible parents have been met when the walk comes to it. */
static int64_t
depth_of(const char *node, int64_t n_nodes, int64_t n_features, const Fields *fields, int64_t *levels)
{
    int64_t deepest = 1;
    memset(levels, 0, (size_t)n_nodes * sizeof *levels);
    levels[0] = 1;
    for (int64_t place = 0; place < n_nodes; place++, node += fields->size) {
        int64_t left, right, level = levels[place];
        if (level == 0)
            return -1; /* a second root */
        if (fields->is_leaf >= 0) {
            if (node[fields->is_leaf])
                continue;
            left = load_uint32(node + fields->left);
            right = load_uint32(node + fields->right);
        }
        else {
            left = load_int64(node + fields->left);
            right = load_int64(node + fields->right);
            if (left == -1 && right == -1)
                continue;
        }
        if (left <= place || left >= n_nodes || right <= place || right >= n_nodes)
            return -1; /* a child that is not there, or not after its parent */
        if (left == right || levels[left] || levels[right])
            return -1; /* a child of two parents */
        int64_t feature = load_int64(node + fields->feature);
        if (feature < 0 || feature >= n_features)
            return -1;
        levels[left] = levels[right] = ++level; /* at most n_nodes */
        if (level > deepest)
            deepest = level;
    }
    return deepest - 1;
}

/* 1 if all are trees, with their depths written; 0 if not. The counts are read a second time here, without the
 * interpreter's lock: that they fit is looked at again, so no other thread can make them reach further. */
static int
check_all(const char *nodes, int64_t n_nodes, const Fields *fields, const char *counts, const char *n_features,
          char *depths, Py_ssize_t n_trees, int64_t *levels, int64_t largest)
{
    for (Py_ssize_t tree = 0; tree < n_trees; tree++) {
        int64_t count = load_int64(counts + tree * 8);
        if (count < 1 || count > largest || count > n_nodes)
            return 0;
        int64_t depth = depth_of(nodes, count, load_int64(n_features + tree * 8), fields, levels);
        if (depth < 0)
            return 0;
        memcpy(depths + tree * 8, &depth, sizeof depth);
        nodes += count * fields->size; /* inside the buffer: count is at most the number of records left */
        n_nodes -= count;
    }
    return 1;
}

static int
is_inside(Py_ssize_t offset, Py_ssize_t width, Py_ssize_t size)
{
    return offset >= 0 && width <= size && offset <= size - width;
}

static PyObject *
check(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer nodes, counts, n_features, depths;
    Fields fields;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*w*nnnnn:check", &nodes, &counts, &n_features, &depths, &fields.size,
                          &fields.left, &fields.right, &fields.feature, &fields.is_leaf))
        return NULL;

    Py_ssize_t child = fields.is_leaf >= 0 ? 4 : 8, n_trees = counts.len / 8;
    if (!is_inside(fields.left, child, fields.size) || !is_inside(fields.right, child, fields.size) ||
        !is_inside(fields.feature, 8, fields.size) || (fields.is_leaf >= 0 && fields.is_leaf >= fields.size) ||
        nodes.len % fields.size || counts.len % 8 || n_features.len != counts.len || depths.len != counts.len) {
        PyErr_SetString(PyExc_ValueError, "the fields are not inside a record, or the buffers do not fit each other");
        goto done;
    }
    int64_t n_nodes = nodes.len / fields.size, left_over = n_nodes, largest = 0;
    for (Py_ssize_t tree = 0; tree < n_trees; tree++) {
        int64_t count = load_int64((const char *)counts.buf + tree * 8);
        if (count < 1 || count > left_over) {
            left_over = -1;
            break;
        }
        left_over -= count;
        largest = count > largest ? count : largest;
    }
    if (left_over != 0) {
        PyErr_SetString(PyExc_ValueError, "the counts of the nodes of trees do not add up to the nodes");
        goto done;
    }
    if (largest > PY_SSIZE_T_MAX / (int64_t)sizeof(int64_t)) {
        PyErr_NoMemory();
        goto done;
    }
    int64_t *levels = PyMem_Malloc((size_t)largest * sizeof *levels);
    if (levels == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    int are_trees;
    Py_BEGIN_ALLOW_THREADS
    are_trees = check_all(nodes.buf, n_nodes, &fields, counts.buf, n_features.buf, depths.buf, n_trees, levels, largest);
    Py_END_ALLOW_THREADS
    PyMem_Free(levels);
    result = PyBool_FromLong(are_trees);

done:
    PyBuffer_Release(&nodes);
    PyBuffer_Release(&counts);
    PyBuffer_Release(&n_features);
    PyBuffer_Release(&depths);
    return result;
}

static PyMethodDef methods[] = {
    {"check", check, METH_VARARGS,
     "check(nodes, counts, n_features, depths, size, left, right, feature, is_leaf)\n--\n\n"
     "Whether records are trees laid end to end; writes the depth of each."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_tree_kernel", "The nodes of decision trees, checked in one pass.", 0, methods, slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__tree_kernel(void)
{
    return PyModuleDef_Init(&definition);
}
