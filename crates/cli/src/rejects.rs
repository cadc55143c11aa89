//! The file of rejected rows: which line, which form, which field, why.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use banyan_drill::import::Reject;
use banyan_synth::forms::{Column, column_of};

/// Columns of the file.
const HEADER: [&str; 5] = ["line", "form_number", "field", "reason", "code"];

/// Writes rejected rows; the file comes into being with the first of them.
#[derive(Debug)]
pub(crate) struct RejectsFile {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl RejectsFile {
    /// A file for a new import: one that an earlier import left is removed, so that it cannot be taken for this one's.
    pub(crate) fn fresh(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self {
            path: path.to_owned(),
            file: None,
            bytes: 0,
        })
    }

    /// The file of an import that goes on: what was written after `bytes` belongs to rows that are sent again.
    pub(crate) fn resumed(path: &Path, bytes: u64) -> io::Result<Self> {
        if bytes == 0 {
            return Self::fresh(path);
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.set_len(bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            bytes,
        })
    }

    /// Appends rejected rows. They are with the system when this returns, not yet on the disk.
    pub(crate) fn append(&mut self, rejects: &[Reject]) -> io::Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        let mut text = csv::Writer::from_writer(Vec::new());
        if self.file.is_none() {
            text.write_record(HEADER)?;
        }
        for reject in rejects {
            let line = reject.line.to_string();
            text.write_record([
                line.as_str(),
                &reject.form,
                &field_name(reject),
                &reject.reason,
                &reject.code,
            ])?;
        }
        let text = text.into_inner().map_err(|error| error.into_error())?;
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::create(&self.path)?),
        };
        file.write_all(&text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where the file is, if anything was rejected.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }
}

/// The column that is at fault; the registry names fields of its protocol, the file has columns.
pub(crate) fn field_name(reject: &Reject) -> String {
    if reject.field.is_empty() {
        return "row".to_owned();
    }
    column_of(&reject.field).map_or_else(
        || reject.field.clone(),
        |column| Column::name(column).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(line: u64) -> Reject {
        Reject {
            line,
            form: "DC01-1".into(),
            field: "data.birth_date.month".into(),
            code: "BNY-0101".into(),
            reason: "month must be 1 to 12, not more".into(),
        }
    }

    #[test]
    fn a_resumed_file_forgets_what_came_after_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.rejected.csv");
        let mut file = RejectsFile::fresh(&path).unwrap();
        assert_eq!(file.path(), None);
        file.append(&[reject(2)]).unwrap();
        let bytes = file.bytes();
        file.append(&[reject(3)]).unwrap();
        drop(file);
        let mut file = RejectsFile::resumed(&path, bytes).unwrap();
        file.append(&[reject(4)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "line,form_number,field,reason,code\n\
                        2,DC01-1,birth_date,\"month must be 1 to 12, not more\",BNY-0101\n\
                        4,DC01-1,birth_date,\"month must be 1 to 12, not more\",BNY-0101\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_field_of_the_protocol_is_told_as_its_column() {
        let reject = |field: &str| Reject {
            line: 1,
            form: String::new(),
            field: field.to_owned(),
            code: String::new(),
            reason: String::new(),
        };
        assert_eq!(
            field_name(&reject("data.permanent_residence.ward")),
            "permanent_ward"
        );
        assert_eq!(field_name(&reject("pin")), "pin");
        assert_eq!(field_name(&reject("")), "row");
        assert_eq!(field_name(&reject("row")), "row");
    }
}
