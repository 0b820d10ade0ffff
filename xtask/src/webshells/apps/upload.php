<?php
// As careless as such pages are: the name is the visitor's.
$file = $_FILES['file'];
move_uploaded_file($file['tmp_name'], __DIR__ . '/uploads/' . $file['name']);
echo 'stored';
