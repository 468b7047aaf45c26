"""Text, JSON and YAML files: encodings, messages with the place of the fault, and writes that never leave a part."""

import errno
import math
import zipfile

import pytest

from minisegnet_core.errors import ConfigurationError, DatasetError, OutputError
from minisegnet_core.files import (
    defined,
    fingerprint,
    finite_number,
    natural_key,
    read_json,
    read_json_lines,
    read_text,
    read_yaml,
    read_yaml_mapping,
    replaced_atomically,
    same_name,
    whole_number,
    write_atomically,
    write_text_atomically,
)
from minisegnet_core.limits import MAX_MESSAGE


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'file'


def test_names_sort_by_the_numbers_in_them():
    names = ['f10', 'F9', 'f2', '3', 'f', 'f2b']
    assert sorted(names, key=natural_key) == ['3', 'f', 'f2', 'f2b', 'F9', 'f10']


def test_a_byte_order_mark_is_not_part_of_the_text(path):
    path.write_text('grün', encoding='utf-8-sig')
    assert read_text(path) == 'grün'


def test_text_of_another_encoding_is_rejected_unless_the_reader_is_lenient(path):
    path.write_bytes('a: grün'.encode('latin-1'))
    with pytest.raises(DatasetError, match='file is not UTF-8 text: wrong byte at position 5, in line 1; save the'):
        read_text(path, DatasetError)
    assert read_text(path, lenient=True) == 'a: gr\N{REPLACEMENT CHARACTER}n'


@pytest.mark.parametrize('read', [read_text, read_json, read_yaml, read_yaml_mapping])
def test_a_missing_file_is_named_with_the_error_type_of_the_caller(path, read):
    with pytest.raises(DatasetError, match=r'cannot read .*file: No such file'):
        read(path, DatasetError)


def test_json_is_read_and_its_faults_are_named(path):
    path.write_text('{"a": [1, null]}')
    assert read_json(path) == {'a': [1, None]}
    for text in ('{"a": ', '[' * 100_000, ''):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match='file is not valid JSON'):
            read_json(path)


def test_json_lines_come_with_their_place_and_blank_lines_are_skipped(path):
    path.write_text('{"a": 1}\n\n  \n{"b": 2}')
    assert list(read_json_lines(path)) == [(f'{path}, line 1', {'a': 1}), (f'{path}, line 4', {'b': 2})]


@pytest.mark.parametrize(
    ('line', 'message'), [('[1]', 'line 2 holds list, expected an object'), ('{', 'line 2 is not')]
)
def test_a_json_line_that_is_not_an_object_is_named(path, line, message):
    path.write_text(f'{{}}\n{line}\n')
    with pytest.raises(DatasetError, match=message):
        list(read_json_lines(path, DatasetError))


def test_yaml_mappings_are_read_and_an_empty_file_is_an_empty_mapping(path):
    path.write_text('a: {b: [1, 2]}')
    assert read_yaml_mapping(path) == {'a': {'b': [1, 2]}}
    path.write_text('# nothing\n')
    assert read_yaml(path) is None
    assert read_yaml_mapping(path) == {}


def test_faults_of_yaml_are_named_in_one_line(path):
    path.write_text('a: [1,\nb: {')
    with pytest.raises(ConfigurationError, match='file is not valid YAML') as caught:
        read_yaml(path)
    assert '\n' not in str(caught.value)
    path.write_text('- a\n')
    with pytest.raises(ConfigurationError, match='holds list, expected a mapping'):
        read_yaml_mapping(path)


def test_yaml_cannot_create_python_objects(path):
    path.write_text('!!python/object/apply:os.getcwd []')
    with pytest.raises(ConfigurationError, match='is not valid YAML'):
        read_yaml(path)


@pytest.mark.parametrize('durable', [False, True])
def test_a_file_is_written_as_a_whole_and_without_leftovers(path, durable):
    write_text_atomically(path, 'grün', durable=durable)
    assert path.read_bytes() == 'grün'.encode()
    write_atomically(path, lambda file: file.write(b'new'), durable=durable)
    assert path.read_bytes() == b'new'
    assert list(path.parent.iterdir()) == [path]


def fail(error):
    def write(file):
        file.write(b'a part')
        raise error

    return write


def test_a_failed_write_keeps_the_old_file_and_says_so(path):
    full = OSError(errno.ENOSPC, 'No space left on device')
    with pytest.raises(OutputError, match=r'cannot write .*file: No space left on device$'):
        write_atomically(path, fail(full))
    path.write_text('old')
    with pytest.raises(OutputError, match='No space left on device; the existing file is unchanged'):
        write_atomically(path, fail(full))
    assert path.read_text() == 'old'
    assert list(path.parent.iterdir()) == [path]


def test_the_full_disk_behind_an_error_of_pytorch_is_named(path):
    error = RuntimeError('[enforce fail at inline_container.cc:664]')
    error.__context__ = OSError(errno.ENOSPC, 'No space left on device')
    with pytest.raises(OutputError, match=r'cannot write .*file: No space left on device'):
        write_atomically(path, fail(error))


def test_an_interrupted_write_leaves_no_part(path):
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail(KeyboardInterrupt()))
    assert path.read_text() == 'old'
    assert list(path.parent.iterdir()) == [path]


def test_a_library_writes_beside_the_file_and_the_result_replaces_it(tmp_path):
    path = tmp_path / 'model.onnx'
    path.write_text('old')
    with replaced_atomically(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, '.onnx')
        temporary.write_text('new')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ('error', 'expected'), [(OSError(errno.EIO, 'Input/output error'), OutputError), (ValueError(), ValueError)]
)
def test_a_library_that_fails_leaves_the_old_file(tmp_path, error, expected):
    path = tmp_path / 'model.onnx'
    path.write_text('old')
    with pytest.raises(expected), replaced_atomically(path) as temporary:
        temporary.write_text('a part')
        raise error
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_fingerprint_changes_with_the_file(path):
    assert fingerprint(path) == [0, 0]
    path.write_text('abc')
    first = fingerprint(path)
    assert first == [3, path.stat().st_mtime_ns]
    path.write_text('abcd')
    assert fingerprint(path) != first


def test_undefined_numbers_become_null_in_mappings_and_sequences():
    value = {'a': math.nan, 'b': [1.5, (math.nan, 'x')], 'c': None, 'd': math.inf}
    assert defined(value) == {'a': None, 'b': [1.5, [None, 'x']], 'c': None, 'd': math.inf}
    assert defined(math.nan) is None


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-32'])
def test_text_of_two_or_four_bytes_a_character_is_named(path, encoding):
    path.write_bytes('a: 1'.encode(encoding))
    for lenient in (False, True):
        with pytest.raises(DatasetError, match=f'is {encoding.upper()} text, .*; save it as UTF-8'):
            read_text(path, DatasetError, lenient=lenient)


def bomb(levels):
    """YAML of a few hundred bytes whose aliases expand to 9 ** levels values."""
    lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]']
    lines += [f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 9)}]' for i in range(1, levels)]
    return '\n'.join(lines)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[' * 100_000, 'is not valid YAML'),
        ('- ' * 1000 + 'x', 'it nests too deeply'),
        ('\n'.join(' ' * level + 'a:' for level in range(1000)), 'it nests too deeply'),
        (bomb(9), 'its aliases repeat more than 100000 values'),
        ('a: &a [1, *a]', 'the alias a contains itself'),
        ('a: 1\nb: {c: 1, d: 2, c: 3}', "the key 'c' is there twice in the mapping that begins in line 2"),
        ('a: !!int ""', 'string index out of range'),
        ('a: ' + '9' * 5000, 'is not valid YAML'),
        ('a: 2001-99-99', 'month must be in 1..12'),
        ('a: *b', 'found undefined alias'),
        ('{[a, b]: 1}', 'unhashable'),
    ],
)
def test_hostile_yaml_ends_in_a_short_message(path, text, message):
    path.write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        read_yaml(path, DatasetError)
    assert len(str(caught.value)) < MAX_MESSAGE


def test_aliases_of_a_reasonable_size_and_merged_mappings_are_read(path):
    path.write_text('base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\n' + bomb(4))
    assert read_yaml(path)['other'] == {'a': 1, 'b': 3}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[' * 100_000, 'it nests too deeply'),
        ('[' * 500 + ']' * 500, 'it nests too deeply'),
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ('9' * 5000, 'is not valid JSON'),
        (f'{{"{"x" * 5000}": 1, "{"x" * 5000}": 2}}', 'is there twice'),
    ],
)
def test_hostile_json_ends_in_a_short_message(path, text, message):
    path.write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        read_json(path, DatasetError)
    assert len(str(caught.value)) < MAX_MESSAGE


def test_brackets_inside_strings_do_not_nest(path):
    path.write_text('["' + '[' * 500 + '"]')
    assert read_json(path) == ['[' * 500]
    assert read_yaml(path) == ['[' * 500]


@pytest.mark.parametrize('value', [None, True, '1', [1], float('nan'), float('inf'), 10**400, 10**5000], ids=range(8))
def test_only_finite_numbers_are_numbers(value):
    for convert in (finite_number, whole_number):
        with pytest.raises(ValueError, match=r'is not a (finite )?number') as caught:
            convert(value)
        assert len(str(caught.value)) < MAX_MESSAGE
    assert (finite_number(3), whole_number(3.0)) == (3.0, 3)
    with pytest.raises(ValueError, match=r'3\.5 is not a whole number'):
        whole_number(3.5)


def test_names_that_look_alike_are_the_same():
    assert same_name('Gro\u0308\u00dfe') == same_name('Gr\u00f6\u00dfe') != same_name('Grosse')


def test_an_archive_in_place_of_a_text_file_is_named(tmp_path):
    """Label Studio's COCO export is a ZIP file (HumanSignal/label-studio, issue 5740)."""
    with zipfile.ZipFile(tmp_path / 'c.json', 'w') as archive:
        archive.writestr('result.json', '{}')
    with pytest.raises(DatasetError, match=r'c\.json is a ZIP archive; unpack it'):
        read_json(tmp_path / 'c.json', DatasetError)
