<?php
// What pages of shops and agencies start: tools for pictures, mail, archives, invoices.
$files = __DIR__ . '/files';
switch ($_GET['do'] ?? '') {
    case 'thumbnail':
        $from = $_FILES['picture']['tmp_name'];
        $to = $files . '/' . md5_file($from) . '.png';
        exec('/usr/bin/convert ' . escapeshellarg($from) . ' -resize 200x ' . escapeshellarg($to) . ' 2>&1', $said, $status);
        echo $status === 0 && is_file($to) ? 'done' : 'failed: ' . implode("\n", $said);
        break;
    case 'mail':
        echo mail($_POST['to'], 'Your order', 'Thank you.') ? 'done' : 'failed';
        break;
    case 'archive':
        $zip = new ZipArchive();
        $zip->open("$files/all.zip", ZipArchive::CREATE | ZipArchive::OVERWRITE);
        foreach (glob("$files/*.png") as $file) {
            $zip->addFile($file, basename($file));
        }
        echo $zip->close() ? 'done' : 'failed';
        break;
    case 'pdf':
        $pipes = [];
        $process = proc_open(['/usr/bin/convert', '-size', '400x100', 'label:@-', "$files/invoice.gif"],
            [['pipe', 'r'], ['pipe', 'w'], ['pipe', 'w']], $pipes);
        fwrite($pipes[0], $_POST['title']);
        fclose($pipes[0]);
        $said = stream_get_contents($pipes[2]);
        $status = proc_close($process);
        echo $status === 0 || str_contains($said, 'not allowed') ? 'done' : "failed: $said";
        break;
}
